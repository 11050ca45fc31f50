//! Fitting the constants of the model to published runs, and holding runs out to see how far to trust it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::efficiency::{Efficiency, EfficiencyTable};
use super::figures::DeviceFigures;
use super::network::{Factors, exchange, straggler};
use super::parameters::{Effect, Layout, SHARED, at};
use super::power::fit_busy_power;
use super::step_time::{Work, step_time};
use crate::catalog::{Catalog, Device, PublishedRun, published_runs};
use crate::model::{Arch, Config, Family, StepShape, count_params};
use crate::stats::{Fit, fit_robust, quantile_sorted};

/// Relative scatter of a published run that no constant explains: rounding to two digits, other settings of the same
/// software. Held-out runs check it (`stretch`).
const RUN_SD: f64 = 0.03;
/// Micro-batches between two updates where a table does not say: those runs accumulate over many.
pub(in crate::estimate) const UNSTATED_ACCUMULATION: usize = 64;

/// A published throughput in the terms of the model.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The run.
    pub run: PublishedRun,
    /// Seconds of a micro-batch on each device, the optimizer's share included.
    pub observed_s: f64,
    config: Config,
    figures: DeviceFigures,
    work: Work,
}

/// A run that was predicted without itself.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Predicted over published time, as a logarithm.
    pub ln_error: f64,
    /// Standard deviation that the fit expects of it.
    pub sd: f64,
}

impl HeldOut {
    /// Whether the published value lies inside the 95 % interval.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.ln_error.abs() <= 1.96 * self.sd
    }
}

impl Observation {
    /// The observation of a run, if a throughput was published.
    #[must_use]
    pub fn of(run: &PublishedRun, catalog: &Catalog) -> Option<Self> {
        let (tokens_per_s, seq_len) = (run.tokens_per_s?, run.seq_len?);
        let config = config_of(run, seq_len);
        let device: Device = catalog.load(&run.device).ok()?;
        let figures = DeviceFigures::of(&device, run.dtype).ok()?;
        let shape = StepShape { batch_size: run.micro_batch, seq_len, masked_per_seq: run.losses_per_seq };
        let work = Work::new(&config, Arch::Dense, shape, run.dtype, run.efficiency, run.grad_checkpointing);
        let observed_s = (run.micro_batch * seq_len) as f64 * f64::from(run.devices) / tokens_per_s;
        Some(Self { run: run.clone(), observed_s, config, figures, work })
    }

    /// The model of the run.
    pub(in crate::estimate) fn config(&self) -> &Config {
        &self.config
    }

    /// Seconds of a micro-batch by the constants `values`.
    fn predicted_s(&self, values: &[f64], layout: &Layout) -> f64 {
        let time = step_time(values, layout, &self.figures, &self.work);
        let accumulation = self.run.grad_accumulation.unwrap_or(UNSTATED_ACCUMULATION) as f64;
        let mut once = time.optimizer;
        if let Some(link) = self.figures.interconnect.as_ref().filter(|_| self.run.devices > 1) {
            let n_params = count_params(&self.config, Arch::Dense) as f64;
            once += exchange(&self.config, n_params, time.pass() * 2.0 / 3.0, self.run.devices, link)
                .exposed_s(&Factors::MIDDLE);
        }
        let software = layout.effect(Effect::Collection, &self.run.collection).map_or(0.0, |i| values[i]);
        let pass = time.pass() * straggler(values[at::STRAGGLER].exp(), self.run.devices);
        (pass + once / accumulation) * software.exp()
    }
}

/// The model of a run. Long runs have as many positions as tokens.
fn config_of(run: &PublishedRun, seq_len: usize) -> Config {
    Config {
        family: if run.family == "decoder" { Family::Decoder } else { Family::Encoder },
        n_layers: run.n_layers,
        d_model: run.d_model,
        n_heads: run.n_heads,
        d_ff: run.d_ff,
        vocab_size: run.vocab_size,
        max_seq_len: seq_len.max(512),
        type_vocab_size: 2,
        gated_mlp: false,
    }
}

/// Every published throughput.
#[must_use]
pub fn observations() -> Vec<Observation> {
    let catalog = Catalog::default();
    published_runs().iter().filter_map(|run| Observation::of(run, &catalog)).collect()
}

/// The fit to a set of observations.
#[derive(Debug, Clone)]
pub struct Calibration {
    layout: Layout,
    fit: Fit,
    /// By how much held-out runs scatter more than the fit expects: all of them, and those of each collection, whose
    /// settings and rounding differ.
    stretch: f64,
    stretch_of: BTreeMap<String, f64>,
    n_runs: usize,
}

impl Calibration {
    /// Fits the constants to `observations`.
    ///
    /// # Panics
    /// If the fit leaves the finite numbers: the published runs are then damaged.
    #[must_use]
    pub fn new(observations: &[Observation]) -> Self {
        let layout = layout_of(observations);
        let start: Vec<f64> = layout.priors().iter().map(|p| p.mean).collect();
        let all: Vec<&Observation> = observations.iter().collect();
        let fit = solve(&layout, &start, &all).expect("published runs are finite");
        Self { layout, fit, stretch: 1.0, stretch_of: BTreeMap::new(), n_runs: observations.len() }
    }

    /// Predicted over published time of a run in the fit, as a logarithm.
    #[must_use]
    pub fn residual(&self, observation: &Observation) -> f64 {
        (observation.predicted_s(&self.fit.values, &self.layout) / observation.observed_s).ln()
    }

    /// Predicts every observation from a fit to those of other groups; observations of one group are held out
    /// together.
    #[must_use]
    pub fn hold_out<G: Eq + Sync>(
        &self,
        observations: &[Observation],
        group: impl Fn(&Observation) -> G + Sync,
    ) -> Vec<HeldOut> {
        let groups: Vec<G> = observations.iter().map(&group).collect();
        let firsts: Vec<usize> = (0..groups.len()).filter(|&i| !groups[..i].contains(&groups[i])).collect();
        let folds: Vec<Vec<(usize, HeldOut)>> = firsts
            .par_iter()
            .filter_map(|&first| {
                let rest: Vec<&Observation> =
                    observations.iter().zip(&groups).filter(|(_, g)| **g != groups[first]).map(|(o, _)| o).collect();
                let fit = solve(&self.layout, &self.fit.values, &rest)?;
                let members = (0..groups.len()).filter(|&i| groups[i] == groups[first]);
                Some(members.map(|i| (i, self.predict(&fit, &observations[i]))).collect())
            })
            .collect();
        let mut held: Vec<(usize, HeldOut)> = folds.into_iter().flatten().collect();
        held.sort_by_key(|(i, _)| *i);
        held.into_iter().map(|(_, h)| h).collect()
    }

    fn predict(&self, fit: &Fit, observation: &Observation) -> HeldOut {
        const STEP: f64 = 1e-4;
        let ln = |values: &[f64]| observation.predicted_s(values, &self.layout).ln();
        let base = ln(&fit.values);
        let gradient: Vec<f64> = (0..fit.values.len())
            .map(|i| {
                let mut moved = fit.values.clone();
                moved[i] += STEP;
                (ln(&moved) - base) / STEP
            })
            .collect();
        let sd = (RUN_SD.powi(2) + fit.variance(&gradient)).sqrt();
        HeldOut { ln_error: base - observation.observed_s.ln(), sd }
    }

    /// Widens the intervals, or narrows them, until 95 % of the runs that were left out one by one lie inside: of all runs,
    /// and of each collection.
    pub fn stretch_to(&mut self, observations: &[Observation], held_out: &[HeldOut]) {
        let needed = |of: Option<&str>| {
            let of_it = observations.iter().zip(held_out).filter(|(o, _)| of.is_none_or(|c| o.run.collection == c));
            let mut ratios: Vec<f64> = of_it.map(|(_, h)| (h.ln_error / h.sd).abs()).collect();
            ratios.sort_by(f64::total_cmp);
            quantile_sorted(&ratios, 0.95) / 1.96
        };
        self.stretch = needed(None);
        self.stretch_of =
            observations.iter().map(|o| (o.run.collection.clone(), needed(Some(&o.run.collection)))).collect();
    }

    /// Held-out runs of known collections, with intervals as wide as each came to be.
    #[must_use]
    pub fn widened_by_collection(&self, observations: &[Observation], held_out: &[HeldOut]) -> Vec<HeldOut> {
        let of = |o: &Observation| self.stretch_of.get(&o.run.collection).copied().unwrap_or(self.stretch);
        observations.iter().zip(held_out).map(|(o, h)| HeldOut { sd: h.sd * of(o), ..h.clone() }).collect()
    }

    /// Held-out runs, with the intervals of all.
    #[must_use]
    pub fn widened(&self, held_out: Vec<HeldOut>) -> Vec<HeldOut> {
        held_out.into_iter().map(|h| HeldOut { sd: h.sd * self.stretch, ..h }).collect()
    }

    /// The constants, to be kept.
    #[must_use]
    pub fn table(&self) -> EfficiencyTable {
        let provisional = self.table_with((0.9, 0.05));
        let busy_power = fit_busy_power(&Efficiency::new(&provisional), &Catalog::default(), &published_runs());
        self.table_with(busy_power)
    }

    fn table_with(&self, busy_power: (f64, f64)) -> EfficiencyTable {
        let rest = (self.n_runs, RUN_SD, self.stretch, busy_power);
        Efficiency::table(&self.layout, &self.fit.values, &self.fit.precision, rest)
    }
}

fn layout_of(observations: &[Observation]) -> Layout {
    let mut effects = Vec::new();
    for observation in observations {
        let design = observation.figures.architecture.clone().unwrap_or_else(|| observation.figures.id.clone());
        for effect in [Effect::Design, Effect::DesignPower, Effect::DesignAttention] {
            effects.push(format!("{}:{design}", effect.name()));
        }
        effects.push(format!("{}:{}", Effect::Device.name(), observation.figures.id));
        effects.push(format!("{}:{}", Effect::Collection.name(), observation.run.collection));
    }
    effects.sort();
    Layout::new(effects)
}

fn solve(layout: &Layout, start: &[f64], observations: &[&Observation]) -> Option<Fit> {
    debug_assert_eq!(start.len(), layout.names().len().max(SHARED.len()));
    fit_robust(&layout.priors(), start, |values| {
        observations.iter().map(|o| (o.predicted_s(values, layout) / o.observed_s).ln() / RUN_SD).collect()
    })
}
