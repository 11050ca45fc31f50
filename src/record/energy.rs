//! Joules of a cell, from the raw readings.

use serde::Serialize;

use super::group::{counter_j, integral_j};
use super::{Cell, MeterTrace, Step};
use crate::sensor::{EnergySource, Sample};
use crate::stats::{batch_means, counter_total, median, trapezoid};

/// Two estimates of one energy that are further apart than this are a warning.
pub const ENERGY_TOLERANCE: f64 = 0.05;

/// The energy counter and the integral of power over the same steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EnergyCheck {
    /// Joules of a step by the counter.
    pub counter_j_per_step: f64,
    /// Joules of a step by integrating power.
    pub integral_j_per_step: f64,
    /// How far the integral is above the counter, relative to it.
    pub difference: f64,
}

impl MeterTrace {
    /// Joules between two moments by the energy counter; `None` if there is none, or if it did not advance.
    #[must_use]
    pub fn counter_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let counter = self.series(|s| s.energy_j);
        let energy = match self.timing {
            Some(_) => counter_j(&counter, (start_s, end_s), self.idle_w),
            None => counter_total(&counter, start_s, end_s),
        };
        energy.filter(|e| *e > 0.0)
    }

    /// Joules between two moments by integrating power; `None` if no power was read.
    #[must_use]
    pub fn integral_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let power = self.series(|s| s.power_w);
        let energy = match self.timing {
            Some(timing) => {
                let gaps: Vec<f64> = power.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
                integral_j(&power, (start_s, end_s), timing, median(&gaps)?, self.idle_w)
            }
            None => trapezoid(&power, start_s, end_s),
        };
        energy.filter(|e| *e > 0.0)
    }

    /// Joules between two moments: by the counter, else by the integral of power.
    #[must_use]
    pub fn energy_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        self.counter_between(start_s, end_s).or_else(|| self.integral_between(start_s, end_s))
    }

    fn series(&self, of: fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
        self.samples.iter().filter_map(|s| of(s).map(|y| (s.time_s, y))).collect()
    }
}

impl Cell {
    /// The measured steps, those of a visit together.
    fn visits(&self) -> impl Iterator<Item = &[Step]> {
        self.steps.chunk_by(|a, b| a.visit == b.visit)
    }

    /// Joules of each visit by one way of reading a meter, all meters added up.
    fn by_visit(&self, of: impl Fn(&MeterTrace, f64, f64) -> Option<f64>) -> Option<Vec<f64>> {
        if self.meters.is_empty() || self.steps.is_empty() {
            return None;
        }
        let joules = |visit: &[Step]| {
            let (first, last) = (visit.first()?, visit.last()?);
            self.meters.iter().map(|m| of(m, first.start_s, last.end_s())).sum::<Option<f64>>()
        };
        self.visits().map(joules).collect()
    }

    /// Joules per step of each visit, all meters added up; `None` if a meter did not cover a visit.
    #[must_use]
    pub fn energy_per_step_by_visit(&self) -> Option<Vec<f64>> {
        let joules = self.by_visit(MeterTrace::energy_between)?;
        Some(joules.iter().zip(self.visits()).map(|(energy, visit)| energy / visit.len() as f64).collect())
    }

    /// Mean power of what the meters cover, in watts, with its relative standard error from the spread
    /// between visits alone.
    #[must_use]
    pub fn mean_power(&self) -> Option<(f64, f64)> {
        let by_visit = self.by_visit(MeterTrace::energy_between)?;
        let powers: Vec<f64> = by_visit
            .iter()
            .zip(self.visits())
            .map(|(energy, visit)| energy / (visit[visit.len() - 1].end_s() - visit[0].start_s))
            .collect();
        let mean = batch_means(&powers);
        let power = powers.iter().sum::<f64>() / powers.len() as f64;
        let spread = mean.map_or(0.0, |m| m.standard_error / m.mean.abs().max(f64::MIN_POSITIVE));
        (power.is_finite() && power > 0.0).then_some((power, spread))
    }

    /// The same above what the meters read, or their models say, of the idle device; `None` if that is not known.
    #[must_use]
    pub fn power_above_idle(&self) -> Option<(f64, f64)> {
        let (power, spread) = self.mean_power()?;
        let idle = self.meters.iter().map(|m| m.idle_w).sum::<Option<f64>>()?;
        let above = power - idle;
        (above > 0.0).then(|| (above, spread * power / above))
    }

    /// Both estimates of the energy, where every meter has both for every visit.
    #[must_use]
    pub fn energy_check(&self) -> Option<EnergyCheck> {
        let total = |of: fn(&MeterTrace, f64, f64) -> Option<f64>| {
            self.by_visit(of).map(|joules| joules.iter().sum::<f64>() / self.steps.len() as f64)
        };
        let counter = total(MeterTrace::counter_between)?;
        let integral = total(MeterTrace::integral_between)?;
        Some(EnergyCheck {
            counter_j_per_step: counter,
            integral_j_per_step: integral,
            difference: integral / counter - 1.0,
        })
    }

    /// Where the joules come from: the integral, if the counter of the meter stood still.
    #[must_use]
    pub fn energy_source(&self) -> Option<EnergySource> {
        let source = self.meters.first()?.meter.source;
        let counted = source != EnergySource::NvmlCounter || self.by_visit(MeterTrace::counter_between).is_some();
        Some(if counted { source } else { EnergySource::NvmlPower })
    }

    /// Whether a meter has an energy counter that did not advance while the cell ran.
    #[must_use]
    pub fn counter_stood_still(&self) -> bool {
        let has_counter = |m: &MeterTrace| m.samples.iter().any(|s| s.energy_j.is_some());
        self.meters.iter().any(has_counter) && self.by_visit(MeterTrace::counter_between).is_none()
    }

    /// Relative standard uncertainty of the gain of the meters: the largest of them.
    #[must_use]
    pub fn gain_uncertainty(&self) -> f64 {
        self.meters.iter().map(|m| m.meter.gain_uncertainty).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::{Coverage, MeterInfo, Timing};

    /// A meter of a device that draws 50 W at rest and 100 W from 1 s to 3 s: values each 0.1 s, the last 0.1 s of
    /// which they are the mean of.
    fn trace(counted: Option<f64>, shown: Option<f64>) -> MeterTrace {
        let info = MeterInfo {
            source: EnergySource::NvmlCounter,
            domain: "GPU".to_owned(),
            coverage: Coverage::Gpu,
            gain_uncertainty: 0.05,
            note: String::new(),
        };
        let busy = |t: f64| (t - 1.0).clamp(0.0, 2.0);
        let sample = |i: i32| {
            let tick = f64::from(i / 5) * 0.1;
            let power = 50.0 + 50.0 * (busy(tick) - busy(tick - 0.1)) / 0.1;
            Sample {
                time_s: f64::from(i) * 0.02,
                energy_j: counted.map(|c| 7.0 + c * (50.0 * tick + 50.0 * busy(tick))),
                power_w: shown.map(|s| s * power),
            }
        };
        MeterTrace {
            meter: info,
            samples: (0..250).map(sample).collect(),
            failure: None,
            timing: Some(Timing { update_s: 0.1, window_s: 0.1 }),
            idle_w: Some(50.0),
        }
    }

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|x| (x / expected - 1.0).abs() < 0.01)
    }

    #[test]
    fn counter_and_integral_agree_on_200_joules() {
        let both = trace(Some(1.0), Some(1.0));
        assert!(close(both.counter_between(1.0, 3.0), 200.0), "{:?}", both.counter_between(1.0, 3.0));
        assert!(close(both.integral_between(1.0, 3.0), 200.0), "{:?}", both.integral_between(1.0, 3.0));
    }

    #[test]
    fn a_counter_that_stands_still_gives_way_to_the_integral_and_neither_is_none() {
        let still = trace(Some(0.0), Some(1.0));
        assert_eq!(still.counter_between(1.0, 3.0), None);
        assert!(close(still.energy_between(1.0, 3.0), 200.0));
        assert_eq!(trace(Some(0.0), None).energy_between(1.0, 3.0), None, "never 0");
        assert_eq!(trace(None, None).energy_between(1.0, 3.0), None);
    }
}
