//! Joules of a group of steps, from what a sensor showed around it.

use crate::meter::Timing;
use crate::stats::{counter_total, staircase};

/// Joules between two moments from the readings (time, watts) of a power sensor: the area under its staircase, moved
/// back by the sensor's delay. What a long average smears over the edges is collected beyond them, less what the idle
/// device drew there.
///
/// Readings are taken every `poll_s`, so that a value is seen half of that late.
///
/// `None` if the readings do not cover the time, or if the idle power is needed and not known.
#[must_use]
pub fn integral_j(
    readings: &[(f64, f64)],
    (start_s, end_s): (f64, f64),
    timing: Timing,
    poll_s: f64,
    idle_w: Option<f64>,
) -> Option<f64> {
    let delay = timing.delay_s() + poll_s / 2.0;
    let smear = timing.smear_s();
    let all = staircase(readings, start_s + delay - smear, end_s + delay + smear)?;
    let beyond = if smear > 0.0 { 2.0 * smear * idle_w? } else { 0.0 };
    (all > beyond).then_some(all - beyond)
}

/// Joules between two moments from the [ticks](crate::stats::ticks) (time, joules) of an energy counter that never falls:
/// from the last tick before the start to the first after the end, less what the idle device drew between those ticks and
/// the group. Without an idle power the counter is interpolated between its ticks.
///
/// `None` if the ticks do not cover the time, or if the counter did not advance.
#[must_use]
pub fn counter_j(ticks: &[(f64, f64)], (start_s, end_s): (f64, f64), idle_w: Option<f64>) -> Option<f64> {
    let after = ticks.partition_point(|t| t.0 < end_s);
    let before = ticks.partition_point(|t| t.0 <= start_s).checked_sub(1);
    let joules = match (idle_w, before.and_then(|i| ticks.get(i)), ticks.get(after)) {
        (Some(idle_w), Some(first), Some(last)) => last.1 - first.1 - idle_w * ((start_s - first.0) + (last.0 - end_s)),
        (None, Some(_), Some(_)) => counter_total(ticks, start_s, end_s)?,
        _ => return None,
    };
    (joules > 0.0).then_some(joules)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXCAR: Timing = Timing { update_s: 0.1, window_s: 0.025 };

    #[test]
    fn constant_power_times_time_whatever_the_delay() {
        let readings: Vec<_> = (0..40).map(|i| (f64::from(i) * 0.1, 50.0)).collect();
        let joules = integral_j(&readings, (1.0, 3.0), BOXCAR, 0.0, None).expect("covered");
        assert!((joules - 100.0).abs() < 1e-9, "{joules}");
        let average = Timing { update_s: 0.1, window_s: 1.0 };
        let joules = integral_j(&readings, (1.0, 2.0), average, 0.0, Some(50.0)).expect("covered");
        assert!((joules - 50.0).abs() < 1e-9, "{joules}");
        assert_eq!(integral_j(&readings, (1.0, 2.0), average, 0.0, None), None, "the idle power is not guessed");
        assert_eq!(integral_j(&readings, (1.0, 3.9), BOXCAR, 0.0, None), None, "the end was not shown yet");
    }

    #[test]
    fn the_gaps_around_a_group_are_charged_at_idle() {
        // 10 W idle, 100 W from 0.15 s to 0.45 s; ticks each 0.1 s
        let counter = [(0.0, 0.0), (0.1, 1.0), (0.2, 6.5), (0.3, 16.5), (0.4, 26.5), (0.5, 32.0), (0.6, 33.0)];
        let joules = counter_j(&counter, (0.15, 0.45), Some(10.0)).expect("covered");
        assert!((joules - 30.0).abs() < 1e-9, "{joules}");
    }

    #[test]
    fn a_counter_that_stands_still_gives_nothing() {
        assert_eq!(counter_j(&[(0.0, 5.0), (2.0, 5.0)], (0.5, 1.5), None), None);
        assert_eq!(counter_j(&[(0.0, 5.0), (1.0, 9.0)], (0.5, 1.5), Some(1.0)), None);
    }
}
