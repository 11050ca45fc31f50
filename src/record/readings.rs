//! The readings of a meter, ready to be asked about many windows of time: each answer looks at its own window alone.

use super::group::{counter_j, integral_j};
use crate::meter::MeterTrace;
use crate::meter::Sample;
use crate::stats::{counter_total, median, never_falls, ticks, trapezoid};

/// Two estimates of one energy that are further apart than this are a warning.
pub const ENERGY_TOLERANCE: f64 = 0.05;
/// The energy of a run is not known if what is not believed is more than this part of its time.
pub(super) const MOST_UNREAD: f64 = 0.05;
/// A counter that shows the same for so long, while power is read beside it, stands still: the slowest change each 100 ms.
const STILL_S: f64 = 1.0;

/// Seconds that two stretches of time share.
fn overlap(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.1.min(b.1) - a.0.max(b.0)).max(0.0)
}

/// The stretches, apart and by rising times, that share time with a window.
fn during(stretches: &[(f64, f64)], (from, to): (f64, f64)) -> &[(f64, f64)] {
    let first = stretches.partition_point(|s| s.1 <= from);
    let last = stretches.partition_point(|s| s.0 < to);
    stretches.get(first..last).unwrap_or_default()
}

/// What a meter showed, by time, and the windows over which all that is asked of it is weighed.
pub struct Readings<'a> {
    pub(super) trace: &'a MeterTrace,
    pub(super) windows: &'a [(f64, f64)],
    power: Vec<(f64, f64)>,
    /// Of an energy counter: all readings, and those at which it changed; nothing of one that ran backwards.
    counter: Vec<(f64, f64)>,
    ticks: Vec<(f64, f64)>,
    /// Seconds that the counter leaves out, by time; nothing if it leaves out none.
    unread: Vec<(f64, f64)>,
    /// From when to when power was read that is not believed.
    refused: Vec<(f64, f64)>,
    /// From when to when the counter stood still for long.
    still: Vec<(f64, f64)>,
    /// Time between two readings of power.
    poll_s: Option<f64>,
}

impl MeterTrace {
    /// The readings, less the counter or the power of which too much is not believed over all the windows, from and to,
    /// together. It goes through all of them: ask one that was made for many windows about each.
    #[must_use]
    pub fn over<'a>(&'a self, windows: &'a [(f64, f64)]) -> Readings<'a> {
        let mut readings = Readings::of(self, windows);
        let most = MOST_UNREAD * readings.seconds();
        if readings.unread_of_counter(windows) > most {
            readings.counter.clear();
            readings.ticks.clear();
            readings.still.clear();
        }
        if readings.refused() > most {
            readings.power.clear();
        }
        readings
    }
}

impl<'a> Readings<'a> {
    fn of(trace: &'a MeterTrace, windows: &'a [(f64, f64)]) -> Self {
        let series = |of: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
            trace.samples.iter().filter_map(|s| of(s).map(|y| (s.time_s, y))).collect()
        };
        let (power, mut counter) = (series(|s| s.power_w), series(|s| s.energy_j));
        if !never_falls(&counter) {
            counter.clear();
        }
        let gaps: Vec<f64> = power.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let mut unread = series(|s| s.energy_j.map(|_| s.doubt.as_ref().map_or(0.0, |d| d.unread_s)));
        if unread.iter().all(|u| u.1 <= 0.0) || !never_falls(&unread) {
            unread.clear();
        }
        let refused = |s: &Sample| s.doubt.as_ref().is_some_and(|d| d.refused_w.is_some());
        let stretch = |run: &[Sample]| Some((run.first()?.time_s, run.last()?.time_s));
        let alike = trace.samples.chunk_by(|a, b| refused(a) == refused(b));
        let refused = alike.filter(|run| refused(&run[0])).filter_map(stretch).collect();
        let still = counter.chunk_by(|a, b| a.1 == b.1).map(|run| (run[0].0, run[run.len() - 1].0));
        let still = still.filter(|(from, to)| to - from >= STILL_S).collect();
        let (ticks, poll_s) = (ticks(&counter), median(&gaps));
        Self { trace, windows, power, counter, ticks, unread, refused, still, poll_s }
    }

    /// Seconds of the windows that the counter leaves out.
    pub(super) fn unread_of_counter(&self, windows: &[(f64, f64)]) -> f64 {
        windows.iter().filter_map(|w| counter_total(&self.unread, w.0, w.1)).sum()
    }

    /// Seconds of the windows in which power was read that is not believed.
    pub(super) fn refused(&self) -> f64 {
        self.windows.iter().flat_map(|w| during(&self.refused, *w).iter().map(|r| overlap(*r, *w))).sum()
    }

    /// Seconds of the windows.
    pub(super) fn seconds(&self) -> f64 {
        self.windows.iter().map(|(from, to)| to - from).sum()
    }

    /// Whether a counter is left that is believed.
    pub(super) fn counts(&self) -> bool {
        !self.counter.is_empty()
    }

    /// Whether a counter without a power beside it advanced, and stood still for long as well: no device draws nothing.
    pub(super) fn stopped_between(&self, start_s: f64, end_s: f64) -> bool {
        let window = (start_s, end_s);
        let still = during(&self.still, window).iter().any(|s| overlap(*s, window) >= STILL_S);
        still && self.power.is_empty() && self.counter_between(start_s, end_s).is_some()
    }

    /// Whether the counter stood still while the power beside it says that it should have advanced.
    pub(super) fn stalled_between(&self, start_s: f64, end_s: f64) -> bool {
        let window = (start_s, end_s);
        let still = during(&self.still, window).iter().filter(|s| overlap(**s, window) >= STILL_S);
        let drawn = |(from, to): &(f64, f64)| trapezoid(&self.power, from.max(start_s), to.min(end_s));
        let missed: f64 = still.filter_map(drawn).sum();
        missed > 0.0 && trapezoid(&self.power, start_s, end_s).is_some_and(|all| missed > ENERGY_TOLERANCE * all)
    }

    /// Joules by the energy counter; `None` if there is none, or if it did not advance.
    #[must_use]
    pub fn counter_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let energy = match self.trace.timing {
            Some(_) => counter_j(&self.ticks, (start_s, end_s), self.trace.idle_w),
            None => counter_total(&self.counter, start_s, end_s),
        };
        // What is not believed is left out of energy and of time alike: the rest of the window stands for it.
        let (unread, window) = (self.unread_of_counter(&[(start_s, end_s)]), end_s - start_s);
        let energy = energy.filter(|e| *e > 0.0 && !self.stalled_between(start_s, end_s))?;
        if unread > 0.0 { (unread <= window / 2.0).then(|| energy * window / (window - unread)) } else { Some(energy) }
    }

    /// Joules by integrating power; `None` if no power was read.
    #[must_use]
    pub fn integral_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let energy = match self.trace.timing {
            Some(timing) => integral_j(&self.power, (start_s, end_s), timing, self.poll_s?, self.trace.idle_w),
            None => trapezoid(&self.power, start_s, end_s),
        };
        energy.filter(|e| *e > 0.0)
    }

    /// Joules by the counter, else by the integral of power.
    #[must_use]
    pub fn energy_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        self.counter_between(start_s, end_s).or_else(|| self.integral_between(start_s, end_s))
    }
}
