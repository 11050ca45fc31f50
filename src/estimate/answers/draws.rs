//! Monte Carlo over a whole training run (JCGM 101): inputs that architectures share are drawn once, so that
//! they cancel in ratios.

use crate::estimate::ledger::chain::{Energy, Run, footprint};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::training::Request;
use crate::estimate::steps::model::{Factors, Stragglers, exchange_inputs, waiting_w};
use crate::estimate::steps::step::{PhaseStep, StepSource};
use crate::model::{Arch, trainable_params};
use crate::record::Workload;
use crate::stats::{Distribution, quantile_sorted};
use crate::units::{Joules, Seconds, Watts};

/// Draws of each input of an estimate.
pub(super) const TRIALS: usize = 10_000;

/// The draws of a run, before anything is said of where it runs.
pub(super) struct RunDraws {
    step_s: Vec<Vec<f64>>,
    train_s: Vec<f64>,
    /// Its hours and energy.
    pub(super) run: Run<Vec<f64>>,
}

/// The draws of one architecture's run.
pub(super) struct Draws {
    pub(super) step_s: Vec<Vec<f64>>,
    pub(super) train_s: Vec<f64>,
    pub(super) footprint: Footprint<Vec<f64>>,
}

impl Draws {
    /// Hours from start to end.
    pub(super) fn wall_h(&self) -> &[f64] {
        self.footprint.get(Quantity::Wall).map_or(&[], Vec::as_slice)
    }
}

/// Name of the group that measured step times are frozen with.
const MEASUREMENT: &str = "measured step times";
/// Name of the speed of a machine that others use too.
pub(super) const MACHINE: &str = "speed of the shared machine";
/// Name of the group that the model's own error for an architecture is frozen with.
const ARCHITECTURE: &str = "model of the architecture";

/// The median of draws.
pub(super) fn middle(draws: &[f64]) -> f64 {
    let mut sorted = draws.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_sorted(&sorted, 0.5)
}

/// A draw of a quantity that cannot be negative: one in the far tail is reflected.
pub(super) fn positive(draw: f64, distribution: Distribution) -> f64 {
    if draw > 0.0 { draw } else { (2.0 * distribution.centre() - draw).abs().min(distribution.centre()) }
}

/// What is not known of the exchange and of other machines, in each trial.
fn exchange_factors(monte_carlo: &MonteCarlo) -> Vec<Factors> {
    let draws = exchange_inputs().map(|input| monte_carlo.draws(input.name, input.distribution));
    (0..monte_carlo.trials()).map(|t| Factors::of(std::array::from_fn(|i| draws[i][t]))).collect()
}

/// Seconds of one step of a phase in each trial, and how many of them only exchange gradients; of several devices, the
/// slowest sets the pace.
pub(super) fn phase_s(
    monte_carlo: &MonteCarlo,
    step: &PhaseStep,
    name: &str,
    stragglers: &Stragglers,
) -> Vec<(f64, f64)> {
    let own = |what: &str, distribution| monte_carlo.of_group(MEASUREMENT, &format!("{name} {what}"), distribution);
    let (pass, optimizer, scale) =
        (own("pass", step.pass_s), own("optimizer", step.optimizer_s), own("scale", step.scale));
    let exchange = if step.exchange.is_none() && stragglers.machines <= 0.0 {
        vec![Factors::MIDDLE; monte_carlo.trials()]
    } else {
        exchange_factors(monte_carlo)
    };
    let shared = monte_carlo.factors(&step.loadings);
    let software = monte_carlo.chosen(&step.by_software);
    (0..monte_carlo.trials())
        .map(|t| {
            // However lucky a draw, no device is faster than its peak.
            let pass = (positive(pass[t], step.pass_s) * shared[t] * software[t]).max(step.least_pass_s);
            let pass = step.micro_steps * pass * stragglers.factor(&exchange[t]);
            let exposed = step.exchange.exposed_s(&exchange[t]);
            let once = positive(optimizer[t], step.optimizer_s) + exposed;
            ((pass + once) * scale[t], exposed * scale[t])
        })
        .collect()
}

/// Joules of a step on one device: full power while it computes, and what waiting draws while gradients are exchanged and nothing
/// is computed.
pub(super) fn step_j(computing_w: f64, idle_w: Option<f64>, (step_s, exposed_s): (f64, f64)) -> f64 {
    let joules = |watts: f64, seconds: f64| (Watts(watts) * Seconds(seconds)).0;
    joules(computing_w, step_s - exposed_s) + joules(waiting_w(computing_w, idle_w), exposed_s)
}

/// A whole run of `arch`.
pub(super) fn draw(request: &Request<'_>, arch: Arch, source: &StepSource, monte_carlo: &MonteCarlo) -> Draws {
    let conditions = request.conditions;
    let drawn = draw_run(request.workload, request.devices, conditions, (arch, source), monte_carlo);
    let hours = drawn.run.wall_h.as_deref().map_or(0.0, middle);
    let when = hours_factor(conditions, hours);
    Draws {
        footprint: footprint(monte_carlo, &drawn.run, conditions, when),
        step_s: drawn.step_s,
        train_s: drawn.train_s,
    }
}

/// The hours and the energy of a run, wherever it stands: of `conditions`, time that is lost is all that counts.
pub(super) fn draw_run(
    workload: &Workload,
    count: u32,
    conditions: &Conditions,
    (arch, source): (Arch, &StepSource),
    monte_carlo: &MonteCarlo,
) -> RunDraws {
    let trials = monte_carlo.trials();
    let devices = f64::from(count);
    let own_scale = monte_carlo.of_group(ARCHITECTURE, &format!("model of {arch}"), source.own_scale);
    let gain = monte_carlo.draws("gain of the meter", Distribution::LogNormal(1.0, 1.0 + source.gain_uncertainty));
    let machine = monte_carlo.draws(MACHINE, Distribution::LogNormal(1.0, 1.0 + source.machine_uncertainty));
    let power_model =
        monte_carlo.draws("power of the device", Distribution::LogNormal(1.0, 1.0 + source.power_uncertainty));
    let mut step_s = Vec::new();
    let mut train_s = vec![0.0; trials];
    let mut busy_j = source.phases.iter().all(|p| p.power_w.is_some()).then(|| vec![0.0; trials]);
    for (i, (phase, step)) in workload.phases.iter().zip(&source.phases).enumerate() {
        let computed = arch.at_length(phase.seq_len);
        let name = format!("measured {computed} {i}");
        let mut seconds = phase_s(monte_carlo, step, &name, &source.straggler);
        // The error of a model of this architecture is that of the phases that it is modelled in.
        let own = |t: usize| if computed == arch { own_scale[t] } else { 1.0 };
        seconds.iter_mut().enumerate().for_each(|(t, (step_s, exposed_s))| {
            *step_s *= own(t) * machine[t];
            *exposed_s *= own(t) * machine[t];
        });
        for (total, (step_s, _)) in train_s.iter_mut().zip(&seconds) {
            *total += phase.steps as f64 * step_s;
        }
        if let (Some(joules), Some(power)) = (&mut busy_j, step.power_w) {
            let power_w = monte_carlo.of_group(MEASUREMENT, &format!("{name} power"), power);
            for t in 0..trials {
                let (step_s, exposed_s) = seconds[t];
                let watts = positive(power_w[t], power);
                let joules_of_step = step_j(watts, source.idle_w, (step_s, exposed_s));
                joules[t] += joules_of_step * gain[t] * power_model[t] * phase.steps as f64 * devices;
            }
        }
        step_s.push(seconds.into_iter().map(|(step_s, _)| step_s).collect());
    }
    let n_params = trainable_params(&workload.model, arch) as f64;
    let over = conditions.lost_time.wall_over_train(monte_carlo, (count, source.straggler.n_machines), n_params);
    let wall_s: Vec<f64> = train_s.iter().zip(&over).map(|(s, over)| s * over).collect();
    // Where idle power is not known, time that is lost is charged like time that trains.
    let idle_j = |t: usize, busy_j: f64| {
        let waiting_s = wall_s[t] - train_s[t];
        source.idle_w.map_or(busy_j / train_s[t] * waiting_s, |w| w * waiting_s * devices)
    };
    let behind_kwh = busy_j
        .map(|busy_j| busy_j.iter().enumerate().map(|(t, busy_j)| Joules(busy_j + idle_j(t, *busy_j)).kwh()).collect());
    let run = Run {
        energy: behind_kwh.map(|behind_kwh| Energy::Parts { behind_kwh, at_wall_kwh: None }),
        wall_h: Some(wall_s.iter().map(|s| Seconds(*s).hours()).collect()),
        devices,
        share: 1.0,
    };
    RunDraws { step_s, train_s, run }
}

/// Mean intensity of the hours that a run of `hours` is in, over the mean of all: 1 where hours are not known.
pub(super) fn hours_factor(conditions: &Conditions, hours: f64) -> f64 {
    let factor = conditions.hourly.as_ref().and_then(|hourly| {
        let schedule = super::schedule::schedule(hourly, conditions.start_within_h.unwrap_or(0), hours)?;
        Some(schedule.intensity_gco2e_per_kwh / hourly.mean())
    });
    factor.filter(|f| f.is_finite()).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_waits_for_gradients_draws_less_than_one_that_computes() {
        // 8 s at 350 W, and 2 s at 50 + 0.4 x 300 = 170 W: 2800 + 340 J.
        assert!((step_j(350.0, Some(50.0), (10.0, 2.0)) - 3140.0).abs() < 1e-9);
        assert!((step_j(350.0, Some(50.0), (10.0, 0.0)) - 3500.0).abs() < 1e-9, "nothing to wait for");
        assert!((step_j(350.0, None, (10.0, 2.0)) - 3500.0).abs() < 1e-9, "idle power is not known");
    }
}
