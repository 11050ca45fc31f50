//! What is trained: one file a workload under `profiles/workload/`.
//!
//! The shape of the model is a type parameter: the catalog knows how a run is written down, not what a
//! transformer is.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryKind};
use crate::units::{Optimizer, States, Weights, whole, whole_or_none};

/// No recipe has more phases.
const MAX_PHASES: usize = 100;

/// What a workload needs to know of its model.
pub trait Shape: DeserializeOwned {
    /// The longest sequence it takes.
    fn max_seq_len(&self) -> usize;
    /// Positions with a loss in a sequence, unless the file says otherwise.
    fn default_losses(&self, seq_len: usize) -> usize;
}

/// Steps of one sequence length and batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Optimizer steps.
    #[serde(deserialize_with = "whole")]
    pub steps: u64,
    /// Sequences in a step, over all devices.
    #[serde(deserialize_with = "whole")]
    pub batch_size: usize,
    /// Tokens in a sequence.
    #[serde(deserialize_with = "whole")]
    pub seq_len: usize,
    /// Positions of a sequence that have a loss.
    #[serde(default, deserialize_with = "whole_or_none")]
    pub masked_per_seq: Option<usize>,
}

/// A training run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload<M> {
    /// The name on the command line.
    pub name: String,
    /// Where the recipe is published; a user's own needs no source.
    #[serde(default = "given")]
    pub source: String,
    /// The shape of the model.
    pub model: M,
    /// How weights are updated.
    pub optimizer: Optimizer,
    /// In which format weights are; f32 if not given.
    #[serde(default, skip_serializing_if = "is_wide")]
    pub weights: Weights,
    /// The phases, in order; a model whose recipe is not published has none.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// Whether activations are computed again in the backward pass instead of being kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grad_checkpointing: bool,
    /// Micro-batches of a step on each device; as few as fit if not given.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub grad_accumulation: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_wide(weights: &Weights) -> bool {
    *weights == Weights::Wide
}

fn given() -> String {
    "given by the user".to_owned()
}

impl<M> Workload<M> {
    /// In which formats weights, gradients and moments are.
    #[must_use]
    pub fn states(&self) -> States {
        States { weights: self.weights, optimizer: self.optimizer }
    }
}

impl<M: Shape> Workload<M> {
    /// Tokens of the whole run.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        self.phases.iter().map(|p| p.steps as f64 * p.batch_size as f64 * p.seq_len as f64).sum()
    }

    /// Positions with a loss in a sequence of `phase`.
    #[must_use]
    pub fn losses(&self, phase: &Phase) -> usize {
        phase.masked_per_seq.unwrap_or_else(|| self.model.default_losses(phase.seq_len))
    }
}

impl<M: Shape> Entry for Workload<M> {
    const KIND: EntryKind = EntryKind::Workload;

    fn id(&self) -> &str {
        &self.name
    }

    fn mistaken(keys: &[String]) -> Option<&'static str> {
        const OF_MODELS: [&str; 8] = [
            "architectures",
            "model_type",
            "num_hidden_layers",
            "hidden_size",
            "n_layer",
            "n_embd",
            "n_layers",
            "d_model",
        ];
        let has = |key: &str| keys.iter().any(|k| k == key);
        (!has("model") && !has("phases") && OF_MODELS.into_iter().any(has)).then_some(
            "this is a model, not a run\nhint: put it under `model:` of a workload file, beside `name:`, `source:`, \
             `optimizer:` and `phases:`",
        )
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.source.trim().is_empty() {
            return Err(("source", "`source` is empty: say where the recipe is published".to_owned()));
        }
        if self.phases.len() > MAX_PHASES {
            return Err(("phases", format!("{} phases: expected at most {MAX_PHASES}", self.phases.len())));
        }
        if let Some(n) = self.grad_accumulation.filter(|n| !(1..=1_000_000_000).contains(n)) {
            return Err(("grad_accumulation", format!("`grad_accumulation` is {n}: expected 1 to 1e9")));
        }
        for phase in &self.phases {
            let max = self.model.max_seq_len();
            if phase.seq_len == 0 || phase.seq_len > max {
                return Err(("seq_len", format!("`seq_len` is {}: expected 1 to `max_seq_len`, {max}", phase.seq_len)));
            }
            if phase.steps == 0 || phase.steps > 1_000_000_000_000 {
                return Err(("steps", format!("`steps` is {}: expected 1 to 1e12", phase.steps)));
            }
            if phase.batch_size == 0 || phase.batch_size > 1_000_000_000 {
                return Err(("batch_size", format!("`batch_size` is {}: expected 1 to 1e9", phase.batch_size)));
            }
            if self.losses(phase) > phase.seq_len {
                return Err((
                    "masked_per_seq",
                    format!(
                        "`masked_per_seq` is {}: expected at most `seq_len`, {}",
                        self.losses(phase),
                        phase.seq_len
                    ),
                ));
            }
        }
        Ok(())
    }
}
