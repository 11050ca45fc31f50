//! Joules of a cell, from the raw readings.

use serde::Serialize;

use super::readings::Readings;
use super::{Cell, Step};
use crate::meter::EnergySource;
use crate::meter::MeterTrace;
use crate::stats::batch_means;

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

/// A way of reading a meter.
#[derive(Clone, Copy)]
enum By {
    Counter,
    Integral,
    /// The counter, else the integral.
    Best,
}

impl By {
    fn joules(self, readings: &Readings, (from, to): (f64, f64)) -> Option<f64> {
        match self {
            Self::Counter => readings.counter_between(from, to),
            Self::Integral => readings.integral_between(from, to),
            Self::Best => readings.energy_between(from, to),
        }
    }
}

impl MeterTrace {
    /// Joules between two moments by the energy counter; `None` if there is none, or if it did not advance.
    #[must_use]
    pub fn counter_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        self.over(&[(start_s, end_s)]).counter_between(start_s, end_s)
    }

    /// Joules between two moments by integrating power; `None` if no power was read.
    #[must_use]
    pub fn integral_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        self.over(&[(start_s, end_s)]).integral_between(start_s, end_s)
    }

    /// Joules between two moments: by the counter, else by the integral of power.
    #[must_use]
    pub fn energy_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        self.over(&[(start_s, end_s)]).energy_between(start_s, end_s)
    }
}

impl Cell {
    /// The measured steps, those of a visit together.
    pub fn visits(&self) -> impl Iterator<Item = &[Step]> {
        self.steps.chunk_by(|a, b| a.visit == b.visit)
    }

    /// From when to when its visits ran.
    #[must_use]
    pub fn windows(&self) -> Vec<(f64, f64)> {
        self.visits().map(|visit| (visit[0].start_s, visit[visit.len() - 1].end_s())).collect()
    }

    /// Joules of its visits by each meter, in their order; `None` of a meter that failed or did not cover a visit, and if
    /// there was no visit.
    #[must_use]
    pub fn joules_by_meter(&self) -> Vec<Option<f64>> {
        let windows = self.windows();
        let joules = |meter: &MeterTrace| {
            let readings = (meter.failure.is_none() && !windows.is_empty()).then(|| meter.over(&windows))?;
            windows.iter().map(|w| readings.energy_between(w.0, w.1)).sum()
        };
        self.meters.iter().map(joules).collect()
    }

    /// Joules of each visit by one way of reading a meter, all meters added up; `None` if a meter has failed.
    fn by_visit(&self, by: By) -> Option<Vec<f64>> {
        if self.meters.is_empty() || self.steps.is_empty() || self.meters.iter().any(|m| m.failure.is_some()) {
            return None;
        }
        let windows = self.windows();
        let readings: Vec<Readings> = self.meters.iter().map(|m| m.over(&windows)).collect();
        windows.iter().map(|w| readings.iter().map(|m| by.joules(m, *w)).sum::<Option<f64>>()).collect()
    }

    /// Joules per step of each visit, all meters added up; `None` if a meter did not cover a visit.
    #[must_use]
    pub fn energy_per_step_by_visit(&self) -> Option<Vec<f64>> {
        let joules = self.by_visit(By::Best)?;
        Some(joules.iter().zip(self.visits()).map(|(energy, visit)| energy / visit.len() as f64).collect())
    }

    /// Mean power of what the meters cover, in watts, with its relative standard error from the spread
    /// between visits alone.
    #[must_use]
    pub fn mean_power(&self) -> Option<(f64, f64)> {
        let by_visit = self.by_visit(By::Best)?;
        let windows = self.windows();
        let powers: Vec<f64> = by_visit.iter().zip(&windows).map(|(energy, (from, to))| energy / (to - from)).collect();
        let mean = batch_means(&powers);
        let power = powers.iter().sum::<f64>() / powers.len() as f64;
        let spread = mean.map_or(0.0, |m| m.standard_error / m.mean.abs().max(f64::MIN_POSITIVE));
        let unread = self.meters.iter().map(|m| m.over(&windows).unread()).fold(0.0, f64::max);
        let spread = spread.hypot(unread);
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
        let total = |by: By| self.by_visit(by).map(|joules| joules.iter().sum::<f64>() / self.steps.len() as f64);
        let counter = total(By::Counter)?;
        let integral = total(By::Integral)?;
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
        let counted = source != EnergySource::NvmlCounter || self.by_visit(By::Counter).is_some();
        Some(if counted { source } else { EnergySource::NvmlPower })
    }

    /// Whether a meter has an energy counter that did not advance while the cell ran.
    #[must_use]
    pub fn counter_stood_still(&self) -> bool {
        let has_counter = |m: &MeterTrace| m.samples.iter().any(|s| s.energy_j.is_some());
        let failed = self.meters.iter().any(|m| m.failure.is_some());
        // What is not believed is another reason, with a warning of its own.
        let doubted = |m: &MeterTrace| m.samples.iter().any(|s| s.doubt.as_ref().is_some_and(|d| d.unread_s > 0.0));
        !failed
            && self.meters.iter().any(has_counter)
            && !self.meters.iter().any(doubted)
            && self.by_visit(By::Counter).is_none()
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
    use crate::meter::{Coverage, MeterInfo, Sample, Timing};

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
                doubt: None,
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

    #[test]
    fn a_counter_that_runs_backwards_is_not_believed() {
        let mut reset = trace(Some(1.0), None);
        for sample in &mut reset.samples[100..] {
            sample.energy_j = sample.energy_j.map(|j| j - 150.0);
        }
        assert_eq!(reset.counter_between(1.0, 3.0), None);
        reset.timing = None;
        assert_eq!(reset.counter_between(1.0, 3.0), None);
    }

    #[test]
    fn a_day_of_readings_and_of_visits_is_gone_through_once() {
        // 200 000 visits among 200 000 readings: 4e10 operations if each visit looked at every reading.
        let mut cell = crate::record::cell::tests::cell();
        cell.steps = (0..200_000)
            .map(|i| Step { visit: i, start_s: f64::from(i), forward_s: 0.5, backward_s: 0.0, optimizer_s: 0.0 })
            .collect();
        let mut constant = trace(None, None);
        constant.timing = None;
        constant.samples = (0..=200_000)
            .map(|i| Sample { time_s: f64::from(i), energy_j: None, power_w: Some(10.0), doubt: None })
            .collect();
        cell.meters = vec![constant];
        assert_eq!(cell.mean_power().map(|(watts, _)| watts), Some(10.0));
    }

    #[test]
    fn the_energy_of_a_cell_whose_meter_failed_is_not_known() {
        let mut cell = crate::record::cell::tests::cell();
        cell.steps = vec![Step { visit: 0, start_s: 1.0, forward_s: 2.0, backward_s: 0.0, optimizer_s: 0.0 }; 2];
        cell.meters = vec![trace(Some(1.0), Some(1.0))];
        assert!(cell.mean_power().is_some());
        cell.meters[0].failure = Some("its thread has ended".to_owned());
        assert_eq!(cell.mean_power(), None);
    }
}
