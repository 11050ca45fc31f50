//! Forward passes of two models in turns.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::super::energy::{Energy, gain_uncertainty};
use super::FactorizeError;
use crate::alloc;
use crate::model::{Config, StepShape};
use crate::nn::{Body, Input, NnError, PassConfig, Tape};
use crate::stats::{Interval, Mean, batch_means, with_gain};

/// The two models take turns, each for so many seconds at least.
const VISIT_S: f64 = 0.1;
/// The fewest turns of each.
const LEAST_TURNS: usize = 8;

/// A forward pass of one sequence through embeddings and layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassTried {
    /// Its tokens.
    pub seq_len: usize,
    /// Seconds of a pass, and of one of the dense model in turns with it.
    pub seconds: Interval,
    /// The same of the dense model.
    pub dense_seconds: Interval,
    /// Their ratio: 0.8 is faster by a fifth.
    pub vs_dense: Interval,
    /// Joules of a pass; `None` where a part of the machine has no meter.
    pub joules: Option<Interval>,
    /// The same of the dense model.
    pub dense_joules: Option<Interval>,
    /// Their ratio: what the meters are off by is the same for both, and cancels.
    pub joules_vs_dense: Option<Interval>,
    /// The most bytes in use during a pass, the weights of the layers among them; `None` where nobody counts.
    pub peak_memory_bytes: Option<u64>,
    /// The same of the dense model.
    pub dense_peak_memory_bytes: Option<u64>,
}

/// Two models that read the same.
pub(super) struct Pair<'a> {
    pub(super) dense: &'a Body,
    pub(super) own: &'a Body,
    /// What both are built as.
    pub(super) config: &'a Config,
    /// Of the tokens.
    pub(super) seed: u64,
    /// Until when they take turns.
    pub(super) until: Until,
}

/// When turns end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    /// Half of the 95 % interval of the logarithm of the ratio of the two models at which it is known well enough.
    pub(super) precision: f64,
    /// The most turns of each.
    pub(super) most_turns: usize,
}

/// What one of them took: seconds and joules of a pass in each turn.
#[derive(Default)]
struct Took {
    seconds: Vec<f64>,
    joules: Vec<Option<f64>>,
}

impl Took {
    /// The mean joules of a pass; `None` where a turn has none.
    fn joules(&self) -> Option<f64> {
        let sum: Option<f64> = self.joules.iter().copied().sum();
        Some(sum? / self.joules.len() as f64)
    }
}

impl Pair<'_> {
    /// Passes of both, in an order that changes, so that a drift of the machine favours neither. `tell` is told which turn it is.
    pub(super) fn in_turns(
        &self,
        seq_len: usize,
        energy: &mut Energy,
        tell: &mut dyn FnMut(usize),
    ) -> Result<PassTried, FactorizeError> {
        let shape = StepShape { batch_size: 1, seq_len, masked_per_seq: 1 };
        let (ids, segments) = tokens_of(&Input::random(self.config, shape, self.seed, &Device::Cpu)?)?;
        let pass = |model: &Body| -> Result<(), FactorizeError> {
            model.hidden(&ids, &segments, &tape())?;
            Ok(())
        };
        let models = [self.dense, self.own];
        let mut peaks = [None; 2];
        for (model, peak) in models.iter().zip(&mut peaks) {
            // The first pass of a model is not timed.
            *peak = peak_of(&mut || pass(model))?.map(|bytes| bytes + 4 * model.params().count());
        }
        let mut took = [Took::default(), Took::default()];
        let mut ratios = Vec::new();
        for turn in 0..self.until.most_turns {
            tell(turn);
            for which in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
                energy.split();
                let begun = Instant::now();
                let mut n = 0_u64;
                while n == 0 || begun.elapsed().as_secs_f64() < VISIT_S {
                    pass(models[which])?;
                    n += 1;
                }
                took[which].seconds.push(begun.elapsed().as_secs_f64() / n as f64);
                took[which].joules.push(energy.split().joules.map(|joules| joules / n as f64));
            }
            ratios.push((took[1].seconds[turn] / took[0].seconds[turn]).ln());
            let known = batch_means(&ratios).map(Mean::interval).filter(|_| ratios.len() >= LEAST_TURNS);
            if known.is_some_and(|ln| (ln.high - ln.low) / 2.0 <= self.until.precision) {
                break;
            }
        }
        let [dense, own] = &took;
        let pairs = own.joules.iter().zip(&dense.joules);
        let joules: Option<Vec<f64>> = pairs.map(|(own, dense)| Some((own.as_ref()? / dense.as_ref()?).ln())).collect();
        let gain = gain_uncertainty(&energy.metered());
        let of_meters = |took: &Took| took.joules().map(|joules| with_gain(joules, 0.0, gain));
        Ok(PassTried {
            seq_len,
            seconds: mean(&own.seconds),
            dense_seconds: mean(&dense.seconds),
            vs_dense: ratio(&ratios),
            joules: of_meters(own),
            dense_joules: of_meters(dense),
            joules_vs_dense: joules.map(|ratios| ratio(&ratios)).filter(|ratio| ratio.is_valid()),
            peak_memory_bytes: peaks[1],
            dense_peak_memory_bytes: peaks[0],
        })
    }
}

fn mean(values: &[f64]) -> Interval {
    batch_means(values).map_or_else(|| Interval::point(values.first().copied().unwrap_or(f64::NAN)), Mean::interval)
}

/// The ratio whose logarithms are these.
fn ratio(logarithms: &[f64]) -> Interval {
    let ln = mean(logarithms);
    Interval { mid: ln.mid.exp(), low: ln.low.exp(), high: ln.high.exp() }
}

/// The most bytes that `run` takes beyond those in use before it; `None` where nobody counts.
fn peak_of(run: &mut dyn FnMut() -> Result<(), FactorizeError>) -> Result<Option<u64>, FactorizeError> {
    alloc::reset_peak();
    let before = alloc::in_use();
    run()?;
    Ok(before.map(|before| alloc::peak().saturating_sub(before)))
}

/// Ids and segments, `(B, T)` each.
pub(super) fn tokens_of(input: &Input) -> Result<(Tensor, Tensor), FactorizeError> {
    Ok(match input {
        Input::Pretraining(batch) => (batch.input_ids.clone(), batch.token_type_ids.clone()),
        Input::Causal(batch) => (batch.input_ids.clone(), batch.input_ids.zeros_like().map_err(NnError::from)?),
    })
}

pub(super) fn tape() -> Tape {
    Tape::inference(PassConfig::deterministic(DType::F32), &Device::Cpu)
}
