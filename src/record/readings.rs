//! The readings of a meter, ready to be asked about many windows of time: each answer looks at its own window alone.

use super::doubt::MOST_UNREAD;
use super::energy::ENERGY_TOLERANCE;
use super::group::{counter_j, integral_j};
use crate::meter::MeterTrace;
use crate::meter::{Sample, Timing};
use crate::stats::{counter_total, median, never_falls, ticks, trapezoid};

/// A counter that shows the same for so long, while power is read beside it, stands still: the slowest change each 100 ms.
const STILL_S: f64 = 1.0;

/// Seconds that two stretches of time share.
fn overlap(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.1.min(b.1) - a.0.max(b.0)).max(0.0)
}

/// What a meter showed, by time.
pub(super) struct Readings {
    timing: Option<Timing>,
    idle_w: Option<f64>,
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

impl Readings {
    fn of(trace: &MeterTrace) -> Self {
        let series = |of: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
            trace.samples.iter().filter_map(|s| of(s).map(|y| (s.time_s, y))).collect()
        };
        let (power, mut counter) = (series(|s| s.power_w), series(|s| s.energy_j));
        if !never_falls(&counter) {
            counter.clear();
        }
        let gaps: Vec<f64> = power.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let (timing, idle_w) = (trace.timing, trace.idle_w);
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
        Self { timing, idle_w, ticks: ticks(&counter), unread, refused, still, poll_s: median(&gaps), power, counter }
    }

    /// Seconds of the windows that the counter leaves out.
    pub(super) fn unread_of_counter(&self, windows: &[(f64, f64)]) -> f64 {
        windows.iter().filter_map(|w| counter_total(&self.unread, w.0, w.1)).sum()
    }

    /// Seconds of the windows in which power was read that is not believed.
    pub(super) fn refused_in(&self, windows: &[(f64, f64)]) -> f64 {
        windows.iter().flat_map(|w| self.refused.iter().map(|r| overlap(*r, *w))).sum()
    }

    /// The readings, less the counter or the power of which too much is not believed over all the windows together.
    pub(super) fn over(trace: &MeterTrace, windows: &[(f64, f64)]) -> Self {
        let mut readings = Self::of(trace);
        let most = MOST_UNREAD * windows.iter().map(|(from, to)| to - from).sum::<f64>();
        if readings.unread_of_counter(windows) > most {
            readings.counter.clear();
            readings.ticks.clear();
            readings.still.clear();
        }
        if readings.refused_in(windows) > most {
            readings.power.clear();
        }
        readings
    }

    /// Whether a counter is left that is believed.
    pub(super) fn counts(&self) -> bool {
        !self.counter.is_empty()
    }

    /// Whether a counter without a power beside it advanced, and stood still for long as well: no device draws nothing.
    pub(super) fn stopped_between(&self, start_s: f64, end_s: f64) -> bool {
        let still = self.still.iter().any(|s| overlap(*s, (start_s, end_s)) >= STILL_S);
        still && self.power.is_empty() && self.counter_between(start_s, end_s).is_some()
    }

    /// Whether the counter stood still while the power beside it says that it should have advanced.
    pub(super) fn stalled_between(&self, start_s: f64, end_s: f64) -> bool {
        let still = self.still.iter().filter(|s| overlap(**s, (start_s, end_s)) >= STILL_S);
        let drawn = |(from, to): &(f64, f64)| trapezoid(&self.power, from.max(start_s), to.min(end_s));
        let missed: f64 = still.filter_map(drawn).sum();
        missed > 0.0 && trapezoid(&self.power, start_s, end_s).is_some_and(|all| missed > ENERGY_TOLERANCE * all)
    }

    /// Joules by the energy counter; `None` if there is none, or if it did not advance.
    pub(super) fn counter_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let energy = match self.timing {
            Some(_) => counter_j(&self.ticks, (start_s, end_s), self.idle_w),
            None => counter_total(&self.counter, start_s, end_s),
        };
        // What is not believed is left out of energy and of time alike: the rest of the window stands for it.
        let (unread, window) = (self.unread_of_counter(&[(start_s, end_s)]), end_s - start_s);
        let energy = energy.filter(|e| *e > 0.0 && !self.stalled_between(start_s, end_s))?;
        if unread > 0.0 { (unread <= window / 2.0).then(|| energy * window / (window - unread)) } else { Some(energy) }
    }

    /// Joules by integrating power; `None` if no power was read.
    pub(super) fn integral_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let energy = match self.timing {
            Some(timing) => integral_j(&self.power, (start_s, end_s), timing, self.poll_s?, self.idle_w),
            None => trapezoid(&self.power, start_s, end_s),
        };
        energy.filter(|e| *e > 0.0)
    }

    /// Joules by the counter, else by the integral of power.
    pub(super) fn energy_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        self.counter_between(start_s, end_s).or_else(|| self.integral_between(start_s, end_s))
    }
}
