//! How long a model is trained, where it is said beside the workload: steps or tokens, batch and length.

use crate::catalog::Phase;
use crate::estimate::error::EstimateError;
use crate::model::Config;
use crate::record::Workload;
use crate::units::{Optimizer, Weights};

/// What was said of a run; nothing of it has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Recipe {
    /// Optimizer steps of the whole run.
    pub steps: Option<f64>,
    /// Tokens of the whole run.
    pub tokens: Option<f64>,
    /// Times that the tokens are gone through.
    pub epochs: Option<f64>,
    /// Sequences in a step, over all devices.
    pub batch_size: Option<usize>,
    /// Tokens in a step, over all devices.
    pub batch_tokens: Option<f64>,
    /// Tokens in a sequence.
    pub seq_len: Option<usize>,
    /// Only the input of each layer is kept, and the rest computed again, whatever the workload says.
    pub grad_checkpointing: bool,
    /// The format of weights.
    pub weights: Option<Weights>,
    /// How they are updated.
    pub optimizer: Option<Optimizer>,
}

/// What a model alone lacks, as options.
const ALL: [&str; 3] =
    ["`--tokens 10B` or `--steps 100k`", "`--batch-tokens 0.5M` or `--batch-size 256`", "`--seq-len 2048`"];

impl Recipe {
    /// Whether it says how long the run is.
    #[must_use]
    pub fn has_length(&self) -> bool {
        self.steps.is_some() || self.tokens.is_some()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The workload with what the recipe says instead of its own. Steps and tokens are spread over its phases as its own are; a
    /// sequence length makes one phase of them. With another batch and nothing else said, the number of tokens stays.
    ///
    /// # Errors
    /// If the recipe contradicts itself, or makes no step.
    pub fn over(&self, mut workload: Workload) -> Result<Workload, EstimateError> {
        workload.grad_checkpointing |= self.grad_checkpointing;
        workload.weights = self.weights.unwrap_or(workload.weights);
        workload.optimizer = self.optimizer.unwrap_or(workload.optimizer);
        if workload.phases.is_empty() {
            let run = self.of_model(&workload.name, workload.model.clone())?;
            return Ok(Workload { model: run.model, phases: run.phases, ..workload });
        }
        if self.is_empty() {
            return Ok(workload);
        }
        let tokens = workload.tokens();
        if let Some(seq_len) = self.seq_len {
            let first = workload.phases[0];
            let batch_size = (first.batch_size * first.seq_len / seq_len).max(1);
            let steps = whole_steps(tokens / (batch_size * seq_len) as f64)?;
            // A step sees as many tokens as before.
            workload.phases = vec![Phase { steps, batch_size, seq_len, masked_per_seq: None }];
            workload.model = workload.model.with_room_for(seq_len);
        }
        if let Some(batch_size) = self.batch_size {
            workload.phases.iter_mut().for_each(|phase| phase.batch_size = batch_size);
        }
        if let Some(batch_tokens) = self.batch_tokens {
            for phase in &mut workload.phases {
                phase.batch_size = sequences(batch_tokens, phase.seq_len)?;
            }
        }
        let factor = match (self.steps, self.tokens) {
            (Some(steps), _) => steps / workload.phases.iter().map(|phase| phase.steps as f64).sum::<f64>(),
            (None, given) => given.unwrap_or(tokens) * self.epochs.unwrap_or(1.0) / workload.tokens(),
        };
        for phase in &mut workload.phases {
            phase.steps = whole_steps(phase.steps as f64 * factor)?;
        }
        Ok(workload)
    }

    /// A run of a model of which no recipe is published.
    ///
    /// # Errors
    /// If the recipe does not say how long it trains, or on what.
    pub fn of_model(&self, name: &str, model: Config) -> Result<Workload, EstimateError> {
        let said =
            [self.has_length(), self.batch_size.is_some() || self.batch_tokens.is_some(), self.seq_len.is_some()];
        let missing: Vec<&'static str> =
            ALL.into_iter().zip(said).filter_map(|(o, said)| (!said).then_some(o)).collect();
        if !missing.is_empty() {
            return Err(EstimateError::NoRecipe { model: name.to_owned(), missing });
        }
        let seq_len = self.seq_len.unwrap_or(model.max_seq_len);
        let batch_size = match (self.batch_size, self.batch_tokens) {
            (Some(batch_size), _) => batch_size,
            (None, tokens) => sequences(tokens.unwrap_or(0.0), seq_len)?,
        };
        let steps = match (self.steps, self.tokens) {
            (Some(steps), _) => whole_steps(steps)?,
            (None, tokens) => {
                let tokens = tokens.unwrap_or(0.0) * self.epochs.unwrap_or(1.0);
                whole_steps(tokens / (batch_size as f64 * seq_len as f64))?
            }
        };
        Ok(Workload {
            name: name.to_owned(),
            source: "given by the user".to_owned(),
            model: model.with_room_for(seq_len),
            optimizer: self.optimizer.unwrap_or_default(),
            weights: self.weights.unwrap_or_default(),
            phases: vec![Phase { steps, batch_size, seq_len, masked_per_seq: None }],
            grad_checkpointing: self.grad_checkpointing,
            grad_accumulation: None,
        })
    }
}

/// A model of which nothing is said of how long it is trained.
pub(super) fn no_recipe(model: &str) -> EstimateError {
    EstimateError::NoRecipe { model: model.to_owned(), missing: ALL.to_vec() }
}

/// Steps to take for so many: a last one that is not whole is one too.
fn whole_steps(steps: f64) -> Result<u64, EstimateError> {
    const MOST: f64 = 1e12;
    if !(0.0..=MOST).contains(&steps) || steps == 0.0 {
        return Err(EstimateError::Number {
            name: "steps",
            value: steps,
            allowed: "more than 0 and at most 1e12 of them",
        });
    }
    // What is whole but for rounding is whole.
    let nearest = steps.round();
    let whole = if (steps - nearest).abs() < 1e-6 * steps && nearest >= 1.0 { nearest } else { steps.ceil() };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e12")]
    let whole = whole as u64;
    Ok(whole)
}

/// Sequences of a batch of so many tokens.
fn sequences(batch_tokens: f64, seq_len: usize) -> Result<usize, EstimateError> {
    let sequences = (batch_tokens / seq_len as f64).round();
    if !(1.0..=1e9).contains(&sequences) {
        let allowed = "at least the tokens of a sequence";
        return Err(EstimateError::Number { name: "--batch-tokens", value: batch_tokens, allowed });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e9")]
    let sequences = sequences as usize;
    Ok(sequences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn bert() -> Workload {
        Catalog::default().load("bert-base").expect("in the catalog")
    }

    fn phases(workload: &Workload) -> Vec<(u64, usize, usize)> {
        workload.phases.iter().map(|p| (p.steps, p.batch_size, p.seq_len)).collect()
    }

    #[test]
    fn steps_and_tokens_are_spread_over_the_phases_of_the_workload() {
        let of = |recipe: Recipe| phases(&recipe.over(bert()).expect("valid"));
        assert_eq!(of(Recipe::default()), [(900_000, 256, 128), (100_000, 256, 512)]);
        let steps = Recipe { steps: Some(1000.0), ..Recipe::default() };
        assert_eq!(of(steps), [(900, 256, 128), (100, 256, 512)]);
        // BERT sees 900 000 x 32 768 + 100 000 x 131 072 = 4.25984e10 tokens.
        let tokens = Recipe { tokens: Some(4.25984e9), ..Recipe::default() };
        assert_eq!(of(tokens), [(90_000, 256, 128), (10_000, 256, 512)]);
        let batch = Recipe { batch_size: Some(512), ..Recipe::default() };
        assert_eq!(of(batch), [(450_000, 512, 128), (50_000, 512, 512)]);
        let length = Recipe { seq_len: Some(256), ..Recipe::default() };
        assert_eq!(of(length), [(1_300_000, 128, 256)]);
    }

    #[test]
    fn a_file_without_phases_keeps_what_else_it_says_and_the_recipe_replaces_it() {
        let said = Workload {
            phases: Vec::new(),
            weights: Weights::Half,
            grad_checkpointing: true,
            grad_accumulation: Some(4),
            ..bert()
        };
        let recipe = Recipe { steps: Some(10.0), batch_size: Some(8), seq_len: Some(512), ..Recipe::default() };
        let workload = recipe.over(said.clone()).expect("whole");
        assert_eq!(phases(&workload), [(10, 8, 512)]);
        assert_eq!(Workload { phases: Vec::new(), ..workload }, said);
        let eight = Recipe { optimizer: Some(Optimizer::AdamW8Bit), weights: Some(Weights::Wide), ..recipe };
        let workload = eight.over(said).expect("whole");
        assert_eq!((workload.optimizer, workload.weights), (Optimizer::AdamW8Bit, Weights::Wide));
    }

    #[test]
    fn a_model_without_a_recipe_needs_one() {
        let recipe = Recipe {
            tokens: Some(50e6),
            epochs: Some(2.0),
            batch_tokens: Some(131_072.0),
            seq_len: Some(512),
            ..Recipe::default()
        };
        let workload = recipe.of_model("mine", bert().model).expect("whole");
        // 100 M tokens of 131 072 a step are 762.9 steps.
        assert_eq!(phases(&workload), [(763, 256, 512)]);
        let error =
            Recipe { seq_len: Some(512), ..Recipe::default() }.of_model("mine", bert().model).expect_err("none");
        assert!(error.to_string().contains("`--tokens 10B` or `--steps 100k`"), "{error}");
    }

    #[test]
    fn a_run_without_a_step_is_refused() {
        for recipe in [
            Recipe { steps: Some(0.0), ..Recipe::default() },
            Recipe { tokens: Some(0.0), ..Recipe::default() },
            Recipe { batch_tokens: Some(10.0), ..Recipe::default() },
        ] {
            assert!(recipe.over(bert()).is_err(), "{recipe:?}");
        }
    }
}
