//! Energy from samples.

/// The integral of `samples` (time, value) from `start` to `end` by the trapezoid rule, with the ends
/// interpolated.
///
/// `None` if the samples do not cover the window, or if there are fewer than two: what was not
/// measured is not guessed.
#[must_use]
pub fn trapezoid(samples: &[(f64, f64)], start: f64, end: f64) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    if samples.len() < 2 || first.0 > start || last.0 < end || end < start {
        return None;
    }
    let mut total = 0.0;
    for pair in around(samples, start, end).windows(2) {
        let ((t0, y0), (t1, y1)) = (pair[0], pair[1]);
        let (a, b) = (t0.max(start), t1.min(end));
        if b <= a {
            continue;
        }
        let at = |t: f64| y0 + (y1 - y0) * (t - t0) / (t1 - t0);
        total += f64::midpoint(at(a), at(b)) * (b - a);
    }
    Some(total)
}

/// The integral from `start` to `end` of a sensor that shows each value until the next one.
///
/// `None` if the samples do not cover the window.
#[must_use]
pub fn staircase(samples: &[(f64, f64)], start: f64, end: f64) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    if first.0 > start || last.0 < end || end < start {
        return None;
    }
    let held = around(samples, start, end)
        .windows(2)
        .map(|pair| pair[0].1 * (pair[1].0.min(end) - pair[0].0.max(start)).max(0.0));
    Some(held.sum())
}

/// The samples from the last one at or before `start` to the first one at or after `end`, by rising times.
fn around(samples: &[(f64, f64)], start: f64, end: f64) -> &[(f64, f64)] {
    let from = samples.partition_point(|s| s.0 <= start).saturating_sub(1);
    let to = (samples.partition_point(|s| s.0 < end) + 1).min(samples.len());
    samples.get(from..to).unwrap_or_default()
}

/// Whether no reading is below the one before.
#[must_use]
pub fn never_falls(readings: &[(f64, f64)]) -> bool {
    readings.windows(2).all(|pair| pair[0].1 <= pair[1].1)
}

/// The readings at which the value changed, with the first and the last reading: what is left of a counter that is
/// polled more often than it moves.
#[must_use]
pub fn ticks(readings: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let changed = readings.windows(2).filter(|pair| pair[0].1 != pair[1].1).map(|pair| pair[1]);
    let mut ticks: Vec<_> = readings.first().copied().into_iter().chain(changed).collect();
    if let (Some(last), Some(kept)) = (readings.last(), ticks.last())
        && last.0 > kept.0
    {
        ticks.push(*last);
    }
    ticks
}

/// What a counter (time, reading) that [never falls](never_falls) advanced by between `start` and `end`, interpolated at
/// both.
///
/// `None` if the readings do not cover the window.
#[must_use]
pub fn counter_total(readings: &[(f64, f64)], start: f64, end: f64) -> Option<f64> {
    Some(value_at(readings, end)? - value_at(readings, start)?)
}

/// The value at time `t`, linear between neighbours.
fn value_at(readings: &[(f64, f64)], t: f64) -> Option<f64> {
    let after = readings.partition_point(|r| r.0 < t);
    let (t1, y1) = *readings.get(after)?;
    if t1 <= t || after == 0 {
        return (t1 <= t).then_some(y1);
    }
    let (t0, y0) = readings[after - 1];
    Some(y0 + (y1 - y0) * (t - t0) / (t1 - t0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ramp_from_0_to_10_watts_in_10_seconds_is_50_joules() {
        let ramp = [(0.0, 0.0), (10.0, 10.0)];
        assert_eq!(trapezoid(&ramp, 0.0, 10.0), Some(50.0));
        assert_eq!(trapezoid(&ramp, 2.0, 4.0), Some(6.0));
    }

    #[test]
    fn a_window_that_was_not_sampled_has_no_integral() {
        assert_eq!(trapezoid(&[(1.0, 5.0), (2.0, 5.0)], 0.0, 2.0), None);
        assert_eq!(trapezoid(&[(1.0, 5.0)], 1.0, 1.0), None);
        assert_eq!(counter_total(&[(1.0, 5.0), (2.0, 6.0)], 1.5, 3.0), None);
    }

    #[test]
    fn a_counter_is_read_between_its_ticks() {
        let counter = [(0.0, 100.0), (1.0, 200.0), (3.0, 600.0)];
        assert_eq!(counter_total(&counter, 0.5, 2.0), Some(250.0));
        assert_eq!(counter_total(&counter, 0.0, 3.0), Some(500.0));
    }

    #[test]
    fn a_counter_that_runs_backwards_is_not_believed() {
        assert!(!never_falls(&[(0.0, 9.0), (1.0, 3.0)]));
        assert!(never_falls(&[(0.0, 3.0), (1.0, 3.0), (2.0, 9.0)]));
    }

    #[test]
    fn a_staircase_of_5_watts_then_7_is_held_between_its_readings() {
        let shown = [(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)];
        assert_eq!(staircase(&shown, 0.5, 1.5), Some(6.0));
        assert_eq!(staircase(&shown, 0.0, 2.0), Some(12.0));
        assert_eq!(staircase(&shown, 0.5, 2.5), None);
        assert_eq!(staircase(&[], 0.0, 0.0), None);
    }

    #[test]
    fn readings_that_repeat_the_one_before_are_no_ticks() {
        let polled = [(0.0, 3.0), (0.1, 3.0), (0.2, 4.0), (0.3, 4.0), (0.4, 4.0)];
        assert_eq!(ticks(&polled), [(0.0, 3.0), (0.2, 4.0), (0.4, 4.0)]);
        assert_eq!(ticks(&polled[..1]), [(0.0, 3.0)]);
        assert_eq!(ticks(&[]), []);
    }

    #[test]
    fn readings_that_begin_late_and_above_zero_are_interpolated_from_where_they_are() {
        let ramp = [(2.0, 4.0), (6.0, 12.0), (7.0, 12.0)];
        let stairs = [(2.0, 4.0), (6.0, 12.0), (7.0, 20.0)];
        let counter = [(1.0, 100.0), (3.0, 400.0), (4.0, 450.0)];
        for (from, to, by_ramp, by_stairs) in [
            (3.0, 5.0, Some(16.0), Some(8.0)),
            (5.0, 7.0, Some(23.0), Some(16.0)),
            (2.0, 7.0, Some(44.0), Some(28.0)),
            (6.0, 6.0, Some(0.0), Some(0.0)),
            (3.0, 3.0, Some(0.0), Some(0.0)),
            (5.0, 3.0, None, None),
            (1.0, 3.0, None, None),
            (3.0, 8.0, None, None),
        ] {
            assert_eq!(trapezoid(&ramp, from, to), by_ramp, "{from} to {to}");
            assert_eq!(staircase(&stairs, from, to), by_stairs, "{from} to {to}");
        }
        for (from, to, joules) in [(1.5, 2.0, Some(75.0)), (2.0, 3.5, Some(175.0)), (0.5, 2.0, None), (2.0, 4.5, None)]
        {
            assert_eq!(counter_total(&counter, from, to), joules, "{from} to {to}");
        }
        // Two readings of one moment are a step.
        assert_eq!(trapezoid(&[(0.0, 1.0), (1.0, 1.0), (1.0, 3.0), (2.0, 3.0)], 0.5, 1.5), Some(2.0));
    }

    proptest! {
        #[test]
        fn energy_is_additive_over_any_cut(
            powers in prop::collection::vec(0.0f64..1000.0, 2..40),
            cut in 0.0f64..1.0,
        ) {
            let samples: Vec<_> = powers.iter().enumerate().map(|(i, p)| (i as f64 * 0.1, *p)).collect();
            let end = samples.last().expect("two or more").0;
            let whole = trapezoid(&samples, 0.0, end).expect("covered");
            let parts = trapezoid(&samples, 0.0, cut * end).expect("covered")
                + trapezoid(&samples, cut * end, end).expect("covered");
            prop_assert!((whole - parts).abs() <= 1e-9 * whole.max(1.0));
        }
    }
}
