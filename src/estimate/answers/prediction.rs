//! So many steps of a cell, predicted before they are run, and held against the run.

use serde::Serialize;

use super::draws::{MACHINE, phase_s, positive};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::steps::measured::{machine_uncertainty, step_of};
use crate::estimate::steps::model::Stragglers;
use crate::record::{Cell, Record};
use crate::stats::{Distribution, Interval};
use crate::units::{Seconds, Watts};

/// Draws of each input.
const TRIALS: usize = 10_000;

/// What steps that are still to be run will take. Energy is that of what the meters of the profile cover: the gain of
/// the meter is that of the run too, and cancels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Prediction {
    /// How many steps.
    pub steps: u64,
    /// Seconds from the first to the end of the last.
    pub time_s: Interval,
    /// Joules in that time; `None` where the profile was not metered.
    pub energy_j: Option<Interval>,
}

/// A number that was predicted, and then measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outcome {
    /// The prediction.
    pub predicted: Interval,
    /// The measurement.
    pub measured: f64,
    /// How far the prediction is above the measurement, relative to it.
    pub error: f64,
    /// Whether the 95 % interval holds the measurement.
    pub inside: bool,
}

impl Outcome {
    fn of(predicted: Interval, measured: f64) -> Self {
        Self { predicted, measured, error: predicted.mid / measured - 1.0, inside: predicted.contains(measured) }
    }
}

impl Prediction {
    /// Predicts `steps` steps like those of `cell` of `record`, by the arithmetic of an estimate with basis `measured`; `None` if
    /// fewer than two steps were measured.
    #[must_use]
    pub fn of(record: &Record, cell: &Cell, steps: u64, seed: u64) -> Option<Self> {
        Self::on(machine_uncertainty(record), cell, steps, seed)
    }

    /// The same on a machine whose speed is as uncertain as that.
    fn on(machine_uncertainty: f64, cell: &Cell, steps: u64, seed: u64) -> Option<Self> {
        let monte_carlo = MonteCarlo::new(seed, TRIALS);
        let step = step_of(cell, 1.0)?;
        let machine = monte_carlo.draws(MACHINE, Distribution::LogNormal(1.0, 1.0 + machine_uncertainty));
        let one = phase_s(&monte_carlo, &step, "measured step", &Stragglers::NONE);
        let time_s: Vec<f64> = one.iter().zip(machine).map(|((s, _), machine)| steps as f64 * s * machine).collect();
        let energy_j = step.power_w.map(|power| {
            let power_w = monte_carlo.draws("measured power", power);
            let joules = |(s, w): (&f64, f64)| (Watts(positive(w, power)) * Seconds(*s)).0;
            Interval::of_draws(time_s.iter().zip(power_w).map(joules).collect())
        });
        Some(Self { steps, time_s: Interval::of_draws(time_s), energy_j })
    }

    /// Steps of `cell` that fill `seconds`, at least two; `None` if fewer than two steps were measured.
    #[must_use]
    pub fn steps_in(cell: &Cell, seconds: f64) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 1e18")]
        Some((seconds / cell.step_mean()?.total.mean).round().clamp(2.0, 1e18) as u64)
    }

    /// The time and the energy of the run, whose steps are those of one visit. `None` where there is nothing to hold
    /// against.
    #[must_use]
    pub fn outcome(&self, run: &Cell) -> (Option<Outcome>, Option<Outcome>) {
        let span = run.steps.first().zip(run.steps.last()).map(|(first, last)| last.end_s() - first.start_s);
        let whole = span.filter(|_| run.steps.len() as u64 == self.steps);
        let joules = whole.zip(run.mean_power()).map(|(s, (w, _))| w * s);
        let energy = self.energy_j.zip(joules).map(|(predicted, measured)| Outcome::of(predicted, measured));
        (whole.map(|measured| Outcome::of(self.time_s, measured)), energy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Coverage, EnergySource, MeterInfo, MeterTrace, Sample};
    use crate::record::{Step, blank_cell};

    /// `n` steps of 0.1, 0.25 and 0.15 s each one after the other, the third longer by `jitter`, at 40 W.
    fn cell(n: usize, jitter: f64) -> Cell {
        let mut at = 3.0;
        let steps: Vec<Step> = (0..n)
            .map(|i| {
                let optimizer_s = 0.15 + if i % 2 == 0 { jitter } else { -jitter };
                let step = Step { visit: 1, start_s: at, forward_s: 0.1, backward_s: 0.25, optimizer_s };
                at = step.end_s();
                step
            })
            .collect();
        let sample = |i: usize| Sample { time_s: i as f64, energy_j: None, power_w: Some(40.0), doubt: None };
        let meter = MeterInfo {
            source: EnergySource::Model,
            domain: "made up".to_owned(),
            coverage: Coverage::CpuPackage,
            gain_uncertainty: 0.4,
            note: String::new(),
        };
        let samples = (0..200).map(sample).collect();
        let trace = MeterTrace { meter, samples, failure: None, timing: None, idle_w: None };
        Cell { steps, meters: vec![trace], ..blank_cell() }
    }

    #[test]
    fn a_hundred_steps_of_half_a_second_at_40_watts_are_50_seconds_and_2_kilojoules() {
        let profile = cell(20, 0.01);
        assert_eq!(Prediction::steps_in(&profile, 50.0), Some(100));
        let predicted = Prediction::on(0.0, &profile, 100, 1).expect("twenty steps");
        let energy = predicted.energy_j.expect("metered");
        assert!((predicted.time_s.mid - 50.0).abs() < 0.5 && (energy.mid - 2000.0).abs() < 20.0, "{predicted:?}");
        assert!(predicted.time_s.relative_half_width() > 0.015, "another run differs by 1 %");
        assert!(energy.relative_half_width() < 0.1, "the gain of the meter is not in it");

        let shared = Prediction::on(0.05, &profile, 100, 1).expect("twenty steps").time_s;
        assert!((0.08..0.12).contains(&shared.relative_half_width()), "a shared machine, by 5 %: {shared:?}");

        let (time, joules) = predicted.outcome(&cell(100, 0.0));
        let (time, joules) = (time.expect("a run"), joules.expect("metered"));
        assert!((time.measured - 50.0).abs() < 1e-9 && time.inside && time.error.abs() < 0.01, "{time:?}");
        assert!((joules.measured - 2000.0).abs() < 1e-6 && joules.inside, "{joules:?}");
        assert_eq!(predicted.outcome(&cell(99, 0.0)), (None, None), "a run of other steps is another run");
    }

    #[test]
    fn nothing_is_predicted_from_one_step() {
        assert_eq!(Prediction::on(0.0, &cell(1, 0.0), 10, 1), None);
    }
}
