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
    use crate::meter::{Coverage, Doubt, MeterInfo, Sample, Timing};

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

    /// A meter that is read each second from 0 s to 8 s: its counter adds 100 J a second for 4 s, and 150 J from there on.
    fn plain(counted: bool, shown: Option<f64>, idle_w: f64) -> MeterTrace {
        let joules = |i: i32| 7.0 + 100.0 * f64::from(i) + 50.0 * f64::from((i - 4).max(0));
        let sample =
            |i: i32| Sample { time_s: f64::from(i), energy_j: counted.then(|| joules(i)), power_w: shown, doubt: None };
        let samples = (0..=8).map(sample).collect();
        MeterTrace { samples, timing: None, idle_w: Some(idle_w), ..trace(None, None) }
    }

    /// A visit of two steps from 1 s to 3 s, and one of a single step from 5 s to 7 s.
    fn two_visits(meters: Vec<MeterTrace>) -> Cell {
        let step = |visit, start_s, forward_s| Step { visit, start_s, forward_s, backward_s: 0.0, optimizer_s: 0.0 };
        let steps = vec![step(0, 1.0, 1.0), step(0, 2.0, 1.0), step(1, 5.0, 2.0)];
        Cell { steps, meters, ..crate::record::cell::tests::cell() }
    }

    fn pair(found: Option<(f64, f64)>, expected: (f64, f64)) -> bool {
        found.is_some_and(|f| (f.0 - expected.0).abs() < 1e-9 && (f.1 - expected.1).abs() < 1e-9)
    }

    #[test]
    fn two_visits_of_two_meters_come_to_what_is_worked_out_by_hand() {
        // 200 J and 300 J by the counter, 100 J twice by the power beside it.
        let mut cell = two_visits(vec![plain(true, Some(110.0), 20.0), plain(false, Some(50.0), 10.0)]);
        cell.meters[1].meter.gain_uncertainty = 0.02;
        assert_eq!(cell.windows(), [(1.0, 3.0), (5.0, 7.0)]);
        assert_eq!(cell.visits().map(<[Step]>::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(cell.joules_by_meter(), [Some(500.0), Some(200.0)]);
        assert_eq!(cell.energy_per_step_by_visit(), Some(vec![150.0, 400.0]));
        // 150 W and 200 W: 175 W with a standard error of 25 W, and 145 W of it above what rests.
        assert!(pair(cell.mean_power(), (175.0, 1.0 / 7.0)), "{:?}", cell.mean_power());
        assert!(pair(cell.power_above_idle(), (145.0, 25.0 / 145.0)), "{:?}", cell.power_above_idle());
        assert_eq!((cell.energy_check(), cell.gain_uncertainty()), (None, 0.05));
        assert_eq!(cell.energy_source(), Some(EnergySource::NvmlPower), "one of them has no counter");
        cell.meters[0].idle_w = Some(165.0);
        assert_eq!(cell.power_above_idle(), None, "it rests with all it draws");
        cell.meters[0].idle_w = None;
        assert_eq!(cell.power_above_idle(), None);
        cell.meters[1].failure = Some("gone".to_owned());
        assert_eq!((cell.joules_by_meter(), cell.mean_power()), (vec![Some(500.0), None], None));

        // By itself: 500 J against 440 J in three steps.
        let mut alone = two_visits(vec![plain(true, Some(110.0), 20.0)]);
        let check = alone.energy_check().expect("it has both");
        assert!((check.counter_j_per_step - 500.0 / 3.0).abs() < 1e-9, "{check:?}");
        assert!((check.integral_j_per_step - 440.0 / 3.0).abs() < 1e-9, "{check:?}");
        assert!((check.difference + 0.12).abs() < 1e-9, "{check:?}");
        assert_eq!(alone.energy_source(), Some(EnergySource::NvmlCounter));
        alone.meters[0].meter.source = EnergySource::Rapl;
        alone.meters[0].samples.iter_mut().for_each(|s| s.energy_j = None);
        assert_eq!(alone.energy_source(), Some(EnergySource::Rapl), "there is no other");
    }

    #[test]
    fn nothing_that_was_not_measured_or_is_no_power_is_a_number() {
        let mut resting = plain(false, Some(0.0), 0.0);
        assert_eq!(two_visits(vec![resting.clone()]).mean_power(), None);
        resting.samples.clear();
        let idle = Cell { steps: Vec::new(), ..two_visits(vec![plain(true, None, 0.0)]) };
        for (cell, joules) in
            [(two_visits(Vec::new()), vec![]), (two_visits(vec![resting]), vec![None]), (idle, vec![None])]
        {
            assert_eq!((cell.energy_per_step_by_visit(), cell.mean_power()), (None, None));
            assert_eq!(cell.joules_by_meter(), joules);
        }
        // A tenth of a second of four in which the power is not believed: a part of 0.025.
        let mut doubtful = plain(false, Some(50.0), 30.0);
        let refused = |time_s| Sample {
            time_s,
            energy_j: None,
            power_w: None,
            doubt: Some(Box::new(Doubt { refused_w: Some(1e9), ..Doubt::default() })),
        };
        doubtful.samples.splice(6..6, [refused(5.75), refused(5.85)]);
        let cell = two_visits(vec![doubtful]);
        assert!(pair(cell.mean_power(), (50.0, 0.025)), "{:?}", cell.mean_power());
        assert!(pair(cell.power_above_idle(), (20.0, 0.0625)), "{:?}", cell.power_above_idle());
    }

    #[test]
    fn a_counter_stands_still_only_where_there_is_one_that_is_believed_and_has_not_failed() {
        let still = |change: fn(&mut MeterTrace)| {
            let mut meter = plain(true, Some(110.0), 0.0);
            meter.samples.iter_mut().for_each(|s| s.energy_j = Some(7.0));
            change(&mut meter);
            two_visits(vec![meter]).counter_stood_still()
        };
        let doubt = |unread_s| Some(Box::new(Doubt { unread_s, ..Doubt::default() }));
        assert!(still(|_| ()));
        assert!(!still(|m| m.failure = Some("gone".to_owned())));
        assert!(!still(|m| m.samples.iter_mut().for_each(|s| s.energy_j = None)));
        assert!(!still(|m| m.samples.iter_mut().for_each(|s| s.energy_j = Some(100.0 * s.time_s))));
        let with = |unread_s| {
            let mut cell = two_visits(vec![plain(true, Some(110.0), 0.0)]);
            cell.meters[0].samples.iter_mut().for_each(|s| s.energy_j = Some(7.0));
            cell.meters[0].samples[4].doubt = doubt(unread_s);
            cell.counter_stood_still()
        };
        assert_eq!([with(0.0), with(0.1)], [true, false]);
    }
}
