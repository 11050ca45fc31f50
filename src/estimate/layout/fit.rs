//! Fits the constants of layouts to measured iterations.

use std::collections::HashMap;

use super::constants::{CONSTANTS, Constants, LayoutConstant, LayoutTable};
use super::memory::{Held, Sizes};
use super::time::{MicroBatch, Setting, step};
use super::traffic::Links;
use crate::catalog::{AttentionUse, Interconnect, SoftwareClass};
use crate::estimate::request::layout::Layout;
use crate::estimate::steps::model::{DeviceFigures, Factors};
use crate::model::{Arch, Config, StepShape};
use crate::stats::{Fit, Prior, fit_robust};
use crate::units::{DType, States};

/// Error of the model of a shape on a layout that no constant explains (ln), as it was found, rounded up: kernels of one
/// shape are better or worse chosen than those of another.
const SHAPE_SD: f64 = 0.08;

/// A measured iteration of a decoder in 16 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredIteration {
    /// The model.
    pub model: Config,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a step.
    pub batch_size: usize,
    /// Sequences of a micro-batch.
    pub micro_batch: usize,
    /// The layout.
    pub layout: Layout,
    /// Seconds.
    pub seconds: f64,
}

impl MeasuredIteration {
    fn shape(&self) -> StepShape {
        StepShape { batch_size: self.micro_batch, seq_len: self.seq_len, masked_per_seq: self.seq_len }
    }

    fn held(&self) -> Held<'_> {
        Held {
            model: &self.model,
            arch: Arch::Dense,
            dtype: DType::F16,
            attention: AttentionUse::Composed,
            states: States::default(),
        }
    }

    /// Iterations of one model's width, tensor group and micro-batch, with a pipeline or without, run the same kernels: they
    /// err together, and count as one.
    fn kernels(&self) -> (usize, usize, u32, usize, bool) {
        (self.model.d_model, self.seq_len, self.layout.tp, self.micro_batch, self.layout.pp > 1)
    }
}

/// Measured iterations of Megatron on one kind of device, ready to be predicted.
#[derive(Debug)]
pub struct Iterations<'a> {
    all: &'a [MeasuredIteration],
    figures: &'a DeviceFigures,
    links: Links<'a>,
    sizes: Vec<Sizes>,
    /// Which of them run the same micro-batches.
    kinds: Vec<usize>,
}

impl<'a> Iterations<'a> {
    /// `all` of them, on devices of these figures that are joined by `link`.
    #[must_use]
    pub fn new(all: &'a [MeasuredIteration], figures: &'a DeviceFigures, link: Option<&'a Interconnect>) -> Self {
        let sizes = all.iter().map(|one| Sizes::of(&one.held(), &one.layout, one.shape())).collect();
        let same = |a: &MeasuredIteration, b: &MeasuredIteration| {
            (a.layout.tp, a.shape(), &a.model) == (b.layout.tp, b.shape(), &b.model)
        };
        let mut kinds: Vec<usize> = Vec::with_capacity(all.len());
        let mut distinct: Vec<&MeasuredIteration> = Vec::new();
        for one in all {
            kinds.push(distinct.iter().position(|other| same(one, other)).unwrap_or(distinct.len()));
            if kinds.last() == Some(&distinct.len()) {
                distinct.push(one);
            }
        }
        Self { all, figures, links: Links::new(link), sizes, kinds }
    }

    /// Logarithms of predicted over measured seconds of those that `keep` chooses.
    ///
    /// # Panics
    /// If a batch is not shared evenly by its layout.
    pub fn ln_errors(&self, constants: &Constants, keep: impl Fn(usize) -> bool) -> Vec<f64> {
        let mut known: HashMap<usize, MicroBatch> = HashMap::new();
        let of = |(i, one): (usize, &'a MeasuredIteration)| {
            let setting = Setting {
                held: one.held(),
                figures: self.figures,
                links: self.links,
                class: SoftwareClass::Optimised,
                constants,
            };
            let micro = *known
                .entry(self.kinds[i])
                .or_insert_with(|| MicroBatch::of(&setting, (one.layout.tp, one.layout.cp), one.shape()));
            let micro_batches = one
                .layout
                .micro_batches(one.batch_size, one.micro_batch)
                .expect("a batch that was run is shared evenly");
            let step = step(&setting, &one.layout, &micro, &self.sizes[i], micro_batches);
            (step.step_s(&Factors::MIDDLE) / one.seconds).ln()
        };
        self.all.iter().enumerate().filter(|(i, _)| keep(*i)).map(of).collect()
    }

    /// The most probable constants by those that `keep` chooses, and the precision that they are known with.
    #[must_use]
    pub fn fit(&self, keep: impl Fn(usize) -> bool) -> Option<Fit> {
        let mut counts: HashMap<_, f64> = HashMap::new();
        for (_, one) in self.all.iter().enumerate().filter(|(i, _)| keep(*i)) {
            *counts.entry(one.kernels()).or_default() += 1.0;
        }
        let kept = self.all.iter().enumerate().filter(|(i, _)| keep(*i));
        let sd: Vec<f64> = kept.map(|(_, one)| SHAPE_SD * counts[&one.kernels()].sqrt()).collect();
        let priors: [Prior; CONSTANTS.len()] = Constants::priors();
        fit_robust(&priors, &priors.map(|p| p.mean), |ln| {
            let errors = self.ln_errors(&Constants::of_logarithms(ln, 0.0), &keep);
            errors.iter().zip(&sd).map(|(error, sd)| error / sd).collect()
        })
    }

    /// Constants as they are written down, with the error `scatter` of what was held out.
    #[must_use]
    pub fn table(&self, fit: &Fit, scatter: f64, source: String) -> LayoutTable {
        let round = |x: f64| format!("{x:.4e}").parse().unwrap_or(x);
        let unit = |i: usize| (0..CONSTANTS.len()).map(|j| if i == j { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
        let constants =
            CONSTANTS.iter().zip(&fit.values).enumerate().map(|(i, ((name, _, _, meaning), ln))| LayoutConstant {
                name: (*name).to_owned(),
                value: round(ln.exp()),
                ln_standard_error: round(fit.variance(&unit(i)).sqrt()),
                meaning: (*meaning).to_owned(),
            });
        LayoutTable { source, n_iterations: self.all.len(), scatter: round(scatter), constants: constants.collect() }
    }
}
