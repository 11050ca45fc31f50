//! Fitting the constants of the model to published runs, and holding runs out to see how far to trust it.

use rayon::prelude::*;

use super::efficiency::{Efficiency, EfficiencyTable};
use super::figures::DeviceFigures;
use super::network::{Factors, exchange, straggler};
use super::parameters::{Effect, Layout, SOFTWARE_SD, SoftwareSpread, at};
use super::power::fit_busy_power;
use super::step_time::{Work, step_time};
use crate::catalog::{Catalog, Device, PublishedRun, Software, SoftwareClass, SoftwareSpec, published_runs};
use crate::estimate::error::EstimateError;
use crate::model::{Arch, Config, Details, Family, Norm, Positions, StepShape, count_params};
use crate::stats::{Component, Fit, fit_robust, mixture_quantile, weighted_quantile};

/// Relative scatter of a published run that no constant explains: rounding to two digits, other settings of the same
/// software. Held-out runs check it (`stretch`).
const RUN_SD: f64 = 0.03;
/// A program counts as so many runs at most, however many it published: the settings of all of them are one choice.
const MOST_RUNS: f64 = 8.0;
/// Rounds in which the spread between programs is fitted; it has settled long before.
const ROUNDS: usize = 6;
/// Programs that what is known of the spread before the fit counts as.
const PRIOR_PROGRAMS: f64 = 3.0;
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

/// A run that was predicted without itself: predicted over published time as a logarithm, and the 95 % interval of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// The middle.
    pub ln_error: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl HeldOut {
    fn of(components: &[Component]) -> Self {
        let at = |p| mixture_quantile(components, p);
        Self { ln_error: at(0.5), low: at(0.025), high: at(0.975) }
    }

    /// Whether the published value lies inside the 95 % interval.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.low <= 0.0 && 0.0 <= self.high
    }
}

impl Observation {
    /// The observation of a run, if a throughput was published of a device that the catalog knows.
    #[must_use]
    pub fn of(run: &PublishedRun, catalog: &Catalog) -> Option<Self> {
        Self::new(run, catalog).ok()
    }

    /// The observation of a run.
    ///
    /// # Errors
    /// If no throughput or length is known of it, or its device is not in the catalog or lacks figures.
    pub fn new(run: &PublishedRun, catalog: &Catalog) -> Result<Self, EstimateError> {
        let (Some(tokens_per_s), Some(seq_len)) = (run.tokens_per_s, run.seq_len) else {
            return Err(EstimateError::NoSource);
        };
        let config = config_of(run, seq_len);
        let device: Device = catalog.load(&run.device)?;
        let figures = DeviceFigures::of(&device, run.dtype)?;
        let shape = StepShape { batch_size: run.micro_batch, seq_len, masked_per_seq: run.losses_per_seq };
        let work =
            Work::new(&config, Arch::Dense, shape, run.dtype, run.software()).computing_again(run.grad_checkpointing);
        let observed_s = (run.micro_batch * seq_len) as f64 * f64::from(run.devices) / tokens_per_s;
        Ok(Self { run: run.clone(), observed_s, config, figures, work })
    }

    /// Seconds of a micro-batch, by a program in the middle of its class.
    #[must_use]
    pub fn predicted_by(&self, model: &Efficiency) -> f64 {
        let (values, layout) = model.constants();
        self.predicted_s(values, layout)
    }

    /// The same run by a program of this software of which nothing was published.
    fn by(&self, software: Software) -> Self {
        let mut run = self.run.clone();
        (run.software, run.attention, run.framework) = (software.class, software.attention, String::new());
        let shape = StepShape {
            batch_size: run.micro_batch,
            seq_len: run.seq_len.unwrap_or(self.config.max_seq_len),
            masked_per_seq: run.losses_per_seq,
        };
        let work =
            Work::new(&self.config, Arch::Dense, shape, run.dtype, software).computing_again(run.grad_checkpointing);
        Self { run, work, ..self.clone() }
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
        let own = layout.effect(Effect::Software(self.run.software), &program(&self.run)).map_or(0.0, |i| values[i]);
        let pass = time.pass() * straggler(values[at::STRAGGLER].exp(), self.run.devices);
        (pass + once / accumulation) * own.exp()
    }
}

/// Who ran what: runs of one program share what their settings gain or lose.
fn program(run: &PublishedRun) -> String {
    format!("{}, {}", run.collection, run.framework)
}

/// The model of a run. Long runs have as many positions as tokens. Decoders that gate their feed-forward blocks are built as Llama is.
fn config_of(run: &PublishedRun, seq_len: usize) -> Config {
    let is_llama = run.family == "decoder" && run.gated_mlp;
    let details = Details {
        n_kv_heads: run.n_kv_heads,
        norm: is_llama.then_some(Norm::Rms),
        positions: is_llama.then_some(Positions::Rotary),
        biases: (is_llama || run.biases == Some(false)).then(Vec::new),
        dropout: run.dropout,
        ..Details::default()
    };
    Config {
        family: if run.family == "decoder" { Family::Decoder } else { Family::Encoder },
        n_layers: run.n_layers,
        d_model: run.d_model,
        n_heads: run.n_heads,
        d_ff: run.d_ff,
        vocab_size: run.vocab_size,
        max_seq_len: seq_len.max(512),
        type_vocab_size: 2,
        gated_mlp: run.gated_mlp,
        details,
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
    /// Spread between programs of a class.
    spread: SoftwareSpread,
    /// By how much held-out sources scatter more than the fit expects.
    stretch: f64,
    n_runs: usize,
    /// Programs behind each observation's weight.
    runs_of: Vec<(String, usize)>,
}

impl Calibration {
    /// Fits the constants to `observations`, and the spread between programs with them (empirical Bayes: the spread is what the
    /// programs' effects and their uncertainty add up to, as in the EM algorithm for a random effect).
    ///
    /// # Panics
    /// If the fit leaves the finite numbers: the published runs are then damaged.
    #[must_use]
    pub fn new(observations: &[Observation]) -> Self {
        let layout = layout_of(observations);
        let runs_of = runs_of(observations);
        let all: Vec<&Observation> = observations.iter().collect();
        let mut spread = SOFTWARE_SD;
        let start: Vec<f64> = layout.priors(&spread).iter().map(|p| p.mean).collect();
        let mut fit = solve((&layout, &spread, &runs_of), &start, &all).expect("published runs are finite");
        for _ in 0..ROUNDS {
            spread = spread_of(&layout, &fit);
            fit = solve((&layout, &spread, &runs_of), &fit.values, &all).expect("published runs are finite");
        }
        Self { layout, fit, spread, stretch: 1.0, n_runs: observations.len(), runs_of }
    }

    /// Predicted over published time of a run in the fit, as a logarithm.
    #[must_use]
    pub fn residual(&self, observation: &Observation) -> f64 {
        (observation.predicted_s(&self.fit.values, &self.layout) / observation.observed_s).ln()
    }

    /// Spread between programs of each class (ln).
    #[must_use]
    pub fn spread(&self) -> SoftwareSpread {
        self.spread
    }

    /// Predicts every observation from a fit to those of other groups; observations of one group are held out together. What
    /// is said of their software is what `said` makes of the truth: all of it, its class, or nothing.
    #[must_use]
    pub fn hold_out<G: Eq + Sync>(
        &self,
        observations: &[Observation],
        group: impl Fn(&Observation) -> G + Sync,
        said: impl Fn(Software) -> SoftwareSpec + Sync,
    ) -> Vec<HeldOut> {
        let groups: Vec<G> = observations.iter().map(&group).collect();
        let firsts: Vec<usize> = (0..groups.len()).filter(|&i| !groups[..i].contains(&groups[i])).collect();
        let folds: Vec<Vec<(usize, HeldOut)>> = firsts
            .par_iter()
            .filter_map(|&first| {
                let rest: Vec<&Observation> =
                    observations.iter().zip(&groups).filter(|(_, g)| **g != groups[first]).map(|(o, _)| o).collect();
                let fit = solve((&self.layout, &self.spread, &self.runs_of), &self.fit.values, &rest)?;
                let members = (0..groups.len()).filter(|&i| groups[i] == groups[first]);
                // A program that is held out with its siblings is one of which nothing is known.
                let is_new = |o: &Observation| !rest.iter().any(|r| program(&r.run) == program(&o.run));
                let predicted = members.map(|i| {
                    let o = &observations[i];
                    (i, self.predict(&fit, o, said(o.run.software()), is_new(o)))
                });
                Some(predicted.collect())
            })
            .collect();
        let mut held: Vec<(usize, HeldOut)> = folds.into_iter().flatten().collect();
        held.sort_by_key(|(i, _)| *i);
        held.into_iter().map(|(_, h)| h).collect()
    }

    fn predict(&self, fit: &Fit, observation: &Observation, said: SoftwareSpec, is_new: bool) -> HeldOut {
        if !is_new {
            return HeldOut::of(&[self.component(fit, observation, (1.0, 0.0))]);
        }
        let components = said.mixture(observation.figures.fuses_attention).into_iter().map(|(weight, software)| {
            self.component(fit, &observation.by(software), (weight, self.spread[software.class as usize]))
        });
        HeldOut::of(&components.collect::<Vec<_>>())
    }

    /// What the fit says of the error of a run: a normal distribution, wider by the spread of what is not in the fit.
    fn component(&self, fit: &Fit, observation: &Observation, (weight, spread): (f64, f64)) -> Component {
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
        let sd = (RUN_SD.powi(2) + spread.powi(2) + fit.variance(&gradient)).sqrt() * self.stretch;
        Component { weight, mean: base - observation.observed_s.ln(), sd }
    }

    /// Widens the intervals until 95 % of what was held out by source lies inside, each source counted once; never narrows
    /// them.
    pub fn stretch_to(&mut self, observations: &[Observation], held_out: &[HeldOut]) {
        let weights = source_weights(observations);
        let of_width = |h: &HeldOut| {
            let half = if h.ln_error > 0.0 { h.ln_error - h.low } else { h.high - h.ln_error };
            h.ln_error.abs() / half
        };
        let ratios: Vec<(f64, f64)> = held_out.iter().map(of_width).zip(weights).collect();
        self.stretch = weighted_quantile(&ratios, 0.95).max(1.0);
    }

    /// The constants, to be kept.
    #[must_use]
    pub fn table(&self) -> EfficiencyTable {
        let provisional = self.table_with((0.9, 0.05));
        let busy_power = fit_busy_power(&Efficiency::new(&provisional), &Catalog::default(), &published_runs());
        self.table_with(busy_power)
    }

    fn table_with(&self, busy_power: (f64, f64)) -> EfficiencyTable {
        let rest = (self.n_runs, RUN_SD, self.stretch, self.spread, busy_power);
        Efficiency::table(&self.layout, &self.fit.values, &self.fit.precision, rest)
    }
}

/// The weight of each observation such that every source counts once.
#[must_use]
pub fn source_weights(observations: &[Observation]) -> Vec<f64> {
    let of = |o: &Observation| observations.iter().filter(|other| other.run.collection == o.run.collection).count();
    observations.iter().map(|o| 1.0 / of(o) as f64).collect()
}

fn runs_of(observations: &[Observation]) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for name in observations.iter().map(|o| program(&o.run)) {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts
}

/// What the effects of programs say of their spread, each class by itself.
fn spread_of(layout: &Layout, fit: &Fit) -> SoftwareSpread {
    let n = fit.values.len();
    let variance = |i: usize| fit.variance(&(0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>());
    SoftwareClass::ALL.map(|class| {
        let own = layout.effects(Effect::Software(class));
        let squares: f64 = own.iter().map(|&i| fit.values[i].powi(2) + variance(i)).sum();
        let prior = SOFTWARE_SD[class as usize].powi(2);
        ((squares + PRIOR_PROGRAMS * prior) / (own.len() as f64 + PRIOR_PROGRAMS)).sqrt()
    })
}

fn layout_of(observations: &[Observation]) -> Layout {
    let mut effects = Vec::new();
    for observation in observations {
        let figures = &observation.figures;
        let design = figures.architecture.clone().unwrap_or_else(|| figures.id.clone());
        for effect in [Effect::Design, Effect::DesignPower, Effect::DesignAttention] {
            effects.push(format!("{}:{design}", effect.name()));
        }
        effects.push(format!("{}:{}", Effect::Device.name(), figures.id));
        effects.extend(figures.vendor.as_ref().map(|vendor| format!("{}:{vendor}", Effect::Vendor.name())));
        effects.push(format!("{}:{}", Effect::Software(observation.run.software).name(), program(&observation.run)));
    }
    effects.sort();
    Layout::new(effects)
}

type Model<'a> = (&'a Layout, &'a SoftwareSpread, &'a [(String, usize)]);

fn solve((layout, spread, runs_of): Model<'_>, start: &[f64], observations: &[&Observation]) -> Option<Fit> {
    let scatter = |o: &Observation| {
        let runs = runs_of.iter().find(|(name, _)| *name == program(&o.run)).map_or(1, |(_, n)| *n);
        RUN_SD * (runs as f64 / MOST_RUNS).max(1.0).sqrt()
    };
    let scatters: Vec<f64> = observations.iter().map(|o| scatter(o)).collect();
    fit_robust(&layout.priors(spread), start, |values| {
        let ratio = |o: &Observation| (o.predicted_s(values, layout) / o.observed_s).ln();
        observations.iter().zip(&scatters).map(|(o, sd)| ratio(o) / sd).collect()
    })
}
