//! One step of a training, and its learning rate.

use candle_core::DType;

use super::PretrainError;
use super::guided::Guided;
use crate::model::{Arch, Config, Ops};
use crate::nn::{
    AdamW, AdamWConfig, BertForPreTraining, Guides, Input, Model, NnError, Params, PassConfig, Tape, clip_gradients,
};

/// The norm of the gradient of all weights to which a longer one is shortened.
const MOST_NORM: f64 = 1.0;
/// The share of the learning rate that is left at the end.
const LEAST_RATE: f64 = 0.1;

/// How the learning rate goes: up in a line, then down by half a cosine to a tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The largest.
    pub lr: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// The step at which a tenth is reached; `None`: by the time, if at all.
    pub decay_steps: Option<u64>,
}

impl Schedule {
    /// The rate of a step, from 1. `gone` is the share of the time or of the joules that has gone, where these end it.
    #[must_use]
    pub fn rate(&self, step: u64, gone: Option<f64>) -> f64 {
        let up = (step as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let share = match (self.decay_steps, gone) {
            (Some(end), _) => {
                step.saturating_sub(self.warmup_steps) as f64 / end.saturating_sub(self.warmup_steps).max(1) as f64
            }
            (None, time) => time.unwrap_or(0.0),
        };
        let down = f64::midpoint(1.0, (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos());
        self.lr * up * (LEAST_RATE + (1.0 - LEAST_RATE) * down)
    }
}

/// A model that is trained: by masked tokens if it is an encoder, by the next token otherwise.
pub struct Trainer {
    model: Model,
    optimizer: AdamW,
    /// What guides its factors, as long as it does.
    guided: Option<Guided>,
    schedule: Schedule,
    pass: PassConfig,
    step: u64,
}

impl Trainer {
    /// The model of these weights before its first step.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn new(config: &Config, arch: Arch, params: Params, schedule: Schedule) -> Result<Self, NnError> {
        // A head without a part in the loss has no gradient.
        let params = params.without_training(BertForPreTraining::NEXT_SENTENCE);
        let model = Model::new(config, arch, params)?;
        let optimizer = AdamW::new(model.params(), constants(schedule), Ops::Fused)?;
        let pass = PassConfig::deterministic(DType::F32);
        Ok(Self { model, optimizer, guided: None, schedule, pass, step: 0 })
    }

    /// Guides the factors in the first `steps` steps: each linear computes `a W x + (1 - a) D E x + b`, where W begins as `D E` and is
    /// trained with them, and a falls from 1 to 0 by half a cosine (Wei et al. 2024, arXiv 2406.16450). After that W is gone. A model
    /// without factors is trained as before.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn guide(&mut self, steps: u64) -> Result<(), NnError> {
        let guided = Guided::new(Guides::of_factors(self.model.params())?, steps, constants(self.schedule))?;
        self.guided = Some(guided).filter(|guided| !guided.is_over(self.step));
        Ok(())
    }

    /// The share that dense matrices have in the result of each linear of the step that comes: 0 where nothing guides it.
    #[must_use]
    pub fn guide_share(&self) -> f64 {
        self.guided.as_ref().map_or(0.0, |guided| guided.share(self.step))
    }

    /// What guides it.
    pub(super) fn guided(&self) -> Option<&Guided> {
        self.guided.as_ref()
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The weights.
    #[must_use]
    pub fn params(&self) -> &Params {
        self.model.params()
    }

    /// The optimizer.
    pub(super) fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Goes on after `step` steps with moments by the names of weights.
    pub(super) fn go_on(
        &mut self,
        step: u64,
        moments: impl FnMut(&str) -> Result<[candle_core::Tensor; 2], NnError>,
    ) -> Result<(), NnError> {
        self.step = step;
        self.optimizer.go_on(self.model.params(), i32::try_from(step).unwrap_or(i32::MAX), moments)
    }

    /// Goes on guided for the first `steps` steps by these matrices, with moments by their names.
    pub(super) fn go_on_guided(
        &mut self,
        (guides, steps): (Guides, u64),
        moments: impl FnMut(&str) -> Result<[candle_core::Tensor; 2], NnError>,
    ) -> Result<(), NnError> {
        let mut own = Guided::new(guides, steps, constants(self.schedule))?;
        let (optimizer, params) = own.optimizer_mut();
        optimizer.go_on(params, i32::try_from(self.step).unwrap_or(i32::MAX), moments)?;
        self.guided = Some(own);
        Ok(())
    }

    /// A pass of the step that comes.
    fn tape(&self, tape: Tape) -> Tape {
        match &self.guided {
            Some(guided) => guided.tape(tape, self.step),
            None => tape,
        }
    }

    /// One step on a batch. `time` is as [`Schedule::rate`] has it. Gives the loss before the step.
    ///
    /// # Errors
    /// If the batch is of another model, memory runs out, or the loss is not a number: then nothing was changed.
    pub fn step(&mut self, input: &Input, time: Option<f64>) -> Result<f64, PretrainError> {
        let step = self.step + 1;
        let params = self.model.params();
        let tape = self.tape(Tape::new(self.pass, params.device()));
        let loss = loss(&self.model, input, &tape)?;
        let value = scalar(&loss)?;
        let mut gradients = tape.backward(&loss, None).map_err(NnError::from)?;
        let all: Vec<&Params> = [params].into_iter().chain(self.guided.as_ref().map(Guided::params)).collect();
        let norm = clip_gradients(&all, &mut gradients, MOST_NORM)?;
        if !value.is_finite() || !norm.is_finite() {
            return Err(PretrainError::Diverged { step });
        }
        let rate = self.schedule.rate(step, time);
        self.optimizer.set_lr(rate);
        self.optimizer.step(params, &gradients)?;
        if let Some(guided) = &mut self.guided {
            guided.step(rate, &gradients)?;
        }
        self.step = step;
        self.guided.take_if(|guided| guided.is_over(step));
        Ok(value)
    }

    /// The loss of a batch, from which nothing is learned: of the model as the step that comes computes it, with what guides it.
    ///
    /// # Errors
    /// If the batch is of another model, or memory runs out.
    pub fn loss(&self, input: &Input) -> Result<f64, NnError> {
        let tape = self.tape(Tape::inference(self.pass, self.model.params().device()));
        scalar(&loss(&self.model, input, &tape)?)
    }
}

/// Those of AdamW.
fn constants(schedule: Schedule) -> AdamWConfig {
    AdamWConfig { lr: schedule.lr, ..AdamWConfig::default() }
}

/// The mean loss of a token that is to be found, a scalar: of the next one, or of those that are hidden.
pub(in crate::train) fn loss(model: &Model, input: &Input, tape: &Tape) -> Result<candle_core::Tensor, NnError> {
    match (model, input) {
        (Model::Bert(model), Input::Pretraining(batch)) => model.masked_lm(batch, tape),
        _ => model.loss(input, tape),
    }
}

fn scalar(loss: &candle_core::Tensor) -> Result<f64, NnError> {
    Ok(loss.to_dtype(DType::F64)?.to_scalar()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_in_a_line_and_falls_by_half_a_cosine_to_a_tenth() {
        let schedule = Schedule { lr: 2.0, warmup_steps: 4, decay_steps: Some(12) };
        let near = |step, expected: f64| {
            let rate = schedule.rate(step, None);
            assert!((rate - expected).abs() < 1e-12, "step {step}: {rate}");
        };
        near(1, 0.5);
        near(4, 2.0);
        // Half of the cosine: 0.1 + 0.9 / 2 of 2.
        near(8, 1.1);
        near(12, 0.2);
        near(1000, 0.2);
        let by_time = Schedule { warmup_steps: 0, decay_steps: None, ..schedule };
        assert!((by_time.rate(7, Some(0.5)) - 1.1).abs() < 1e-12);
        assert!((by_time.rate(7, None) - 2.0).abs() < 1e-12);
    }
}
