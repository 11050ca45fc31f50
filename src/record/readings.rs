//! The readings of a meter, ready to be asked about many windows of time: each answer looks at its own window alone.

use super::MeterTrace;
use super::group::{counter_j, integral_j};
use crate::sensor::{Sample, Timing};
use crate::stats::{counter_total, median, never_falls, ticks, trapezoid};

/// What a meter showed, by time.
pub(super) struct Readings {
    timing: Option<Timing>,
    idle_w: Option<f64>,
    power: Vec<(f64, f64)>,
    /// Of an energy counter: all readings, and those at which it changed; nothing of one that ran backwards.
    counter: Vec<(f64, f64)>,
    ticks: Vec<(f64, f64)>,
    /// Time between two readings of power.
    poll_s: Option<f64>,
}

impl Readings {
    pub(super) fn of(trace: &MeterTrace) -> Self {
        let series = |of: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
            trace.samples.iter().filter_map(|s| of(s).map(|y| (s.time_s, y))).collect()
        };
        let (power, mut counter) = (series(|s| s.power_w), series(|s| s.energy_j));
        if !never_falls(&counter) {
            counter.clear();
        }
        let gaps: Vec<f64> = power.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let (timing, idle_w) = (trace.timing, trace.idle_w);
        Self { timing, idle_w, ticks: ticks(&counter), poll_s: median(&gaps), power, counter }
    }

    /// Joules by the energy counter; `None` if there is none, or if it did not advance.
    pub(super) fn counter_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let energy = match self.timing {
            Some(_) => counter_j(&self.ticks, (start_s, end_s), self.idle_w),
            None => counter_total(&self.counter, start_s, end_s),
        };
        energy.filter(|e| *e > 0.0)
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
