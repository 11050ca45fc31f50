//! A run worked out from the moments of what is not known, without draws.

use super::draws::step_j;
use crate::catalog::Phase;
use crate::estimate::ledger::arithmetic::Arithmetic;
use crate::estimate::ledger::chain::{Energy, Run, footprint};
use crate::estimate::ledger::quantity::Footprint;
use crate::estimate::ledger::spread::{Spread, Spreads};
use crate::estimate::request::conditions::Conditions;
use crate::estimate::steps::model::{Factors, exchange_inputs};
use crate::estimate::steps::step::{PhaseStep, StepSource};
use crate::model::{Arch, trainable_params};
use crate::record::Workload;
use crate::stats::{Component, Distribution, Interval, mixture_quantile};
use crate::units::Joules;

/// A run on its hardware, wherever that stands.
pub(super) struct OnHardware {
    wall_h: Spread,
    /// Of all devices, behind the power supply.
    behind_kwh: Spread,
}

impl OnHardware {
    /// What the run comes to under `conditions`.
    pub(super) fn footprint(&self, spreads: &Spreads, devices: u32, conditions: &Conditions) -> Footprint<Interval> {
        let run = Run {
            wall_h: Some(self.wall_h.clone()),
            energy: Some(Energy::Parts { behind_kwh: self.behind_kwh.clone(), at_wall_kwh: None }),
            devices: f64::from(devices),
            share: 1.0,
        };
        footprint(spreads, &run, conditions, 1.0).map(Spread::interval)
    }
}

/// The run of `workload` on so many devices, by the steps of its architecture.
pub(super) fn on_hardware(
    spreads: &Spreads,
    workload: &Workload,
    devices: u32,
    (arch, source): (Arch, &StepSource),
    conditions: &Conditions,
) -> OnHardware {
    let parts = parts_s(workload, source, &Factors::MIDDLE);
    let phase_s: Vec<f64> = parts.iter().map(|(computing, exposed)| computing + exposed).collect();
    let train_s: f64 = phase_s.iter().sum::<f64>();
    let (sd, skew) = mixed(source.phases.first(), step_sd(source, &phase_s));
    let lost = &conditions.lost_time;
    let over = lost.typical((devices, source.straggler.n_machines), trainable_params(&workload.model, arch) as f64);
    let wall_s = train_s * over;
    let wall_sd = sd
        .hypot(exchange_sd(workload, source))
        .hypot(lost.productive_on(source.straggler.n_machines).distribution.ln_sd());
    let wall_skew = skew * (sd / wall_sd).powi(3);
    let wall_h = spreads.uncertain("wall time", wall_s / 3600.0, (wall_sd, wall_skew));
    let busy_j: f64 = source
        .phases
        .iter()
        .zip(&parts)
        .map(|(p, (computing, exposed))| {
            let watts = p.power_w.map_or(0.0, Distribution::centre);
            step_j(watts, source.idle_w, (computing + exposed, *exposed))
        })
        .sum();
    let idle_j = source.idle_w.map_or(busy_j / train_s, |w| w) * (wall_s - train_s);
    // What a device takes in an hour, times the hours.
    let kw = Joules((busy_j + idle_j) * f64::from(devices)).kwh() / wall_h.mid;
    let power = spreads.uncertain("power of the device", kw, (source.power_uncertainty, 0.0));
    OnHardware { behind_kwh: spreads.multiply(&power, &wall_h), wall_h }
}

/// Seconds of all steps of each phase that compute, and that only exchange gradients.
fn parts_s(workload: &Workload, source: &StepSource, factors: &Factors) -> Vec<(f64, f64)> {
    let of_phase = |(phase, step): (&Phase, &PhaseStep)| {
        let (computing, exposed) = step.at(&source.straggler, factors);
        (phase.steps as f64 * computing, phase.steps as f64 * exposed)
    };
    workload.phases.iter().zip(&source.phases).map(of_phase).collect()
}

/// Standard deviation of the logarithm of the training time by what is not known of the exchange and of other machines: half of
/// what it changes by from one standard deviation below the middle of each input to one above.
fn exchange_sd(workload: &Workload, source: &StepSource) -> f64 {
    if source.phases.iter().all(|p| p.exchange.is_none()) {
        return 0.0;
    }
    let train_s = |factors: &Factors| -> f64 { parts_s(workload, source, factors).iter().map(|(c, e)| c + e).sum() };
    let answer = |i: usize| (train_s(&Factors::moved(i, 1.0)) / train_s(&Factors::moved(i, -1.0))).ln() / 2.0;
    (0..exchange_inputs().len()).map(|i| answer(i).powi(2)).sum::<f64>().sqrt()
}

/// Standard deviation of the logarithm of the training time: loadings of one name add up over the phases.
fn step_sd(source: &StepSource, phase_s: &[f64]) -> f64 {
    let total: f64 = phase_s.iter().sum();
    let names = source.phases.first().map_or(0, |p| p.loadings.len());
    let shared: f64 = (0..names)
        .map(|i| {
            let sum: f64 = source
                .phases
                .iter()
                .zip(phase_s)
                .map(|(p, s)| p.loadings.get(i).map_or(0.0, |l| l.1) * s / total)
                .sum();
            sum * sum
        })
        .sum();
    shared.sqrt().hypot(source.own_scale.ln_sd())
}

/// Standard deviation and skewness of the logarithm of a time that, of one kind of software, has `sd`: a mixture of several is no
/// log-normal number. The skewness is the one that puts the median where that of the mixture is.
fn mixed(step: Option<&PhaseStep>, sd: f64) -> (f64, f64) {
    let Some(step) = step.filter(|s| s.by_software.len() > 1) else { return (sd, 0.0) };
    let mean = step.ln_software().0;
    let component = |(weight, factor): &(f64, f64)| Component { weight: *weight, mean: factor.ln() - mean, sd };
    let components: Vec<Component> = step.by_software.iter().map(component).collect();
    let [low, middle, high] = [0.025, 0.5, 0.975].map(|q| mixture_quantile(&components, q));
    let sd = (high - low) / (2.0 * 1.96);
    (sd, -6.0 * middle / sd)
}
