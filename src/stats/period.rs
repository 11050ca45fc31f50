//! The period of something that ticks.

use super::median;

/// A period and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Period {
    /// Time between ticks.
    pub mean: f64,
    /// Standard deviation of single intervals about it: the jitter of the ticks and of whoever watched them.
    pub jitter: f64,
    /// Ticks that it stands on.
    pub ticks: usize,
}

/// The period of ticks seen at `times`, ascending. A tick that was missed (the value did not change, the watcher
/// slept) leaves an interval of twice or three times the median, which counts as two or three.
///
/// `None` below three ticks.
#[must_use]
pub fn period_of_ticks(times: &[f64]) -> Option<Period> {
    if times.len() < 3 {
        return None;
    }
    let intervals: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let usual = median(&intervals).filter(|m| *m > 0.0)?;
    let periods = |interval: f64| (interval / usual).round().max(1.0);
    let count: f64 = intervals.iter().map(|i| periods(*i)).sum();
    let mean = intervals.iter().sum::<f64>() / count;
    let squares: f64 = intervals.iter().map(|i| (i - periods(*i) * mean).powi(2)).sum();
    Some(Period { mean, jitter: (squares / intervals.len() as f64).sqrt(), ticks: times.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_tick_does_not_lengthen_the_period() {
        let period = period_of_ticks(&[0.0, 0.1, 0.2, 0.4, 0.5, 0.8, 0.9]).expect("seven ticks");
        assert!((period.mean - 0.1).abs() < 1e-12, "{period:?}");
        assert!(period.jitter < 1e-12, "{period:?}");
        assert_eq!(period.ticks, 7);
    }

    #[test]
    fn ticks_seen_late_by_up_to_a_poll_still_give_the_mean() {
        // every 100 ms, seen 0 to 5 ms late
        let times: Vec<f64> = (0..101).map(|i| f64::from(i) * 0.1 + f64::from(i * 37 % 11) * 0.000_5).collect();
        let period = period_of_ticks(&times).expect("ticks");
        assert!((period.mean - 0.1).abs() < 0.000_1, "{period:?}");
        assert!(period.jitter > 0.000_5 && period.jitter < 0.005, "{period:?}");
    }

    #[test]
    fn two_ticks_are_no_period() {
        assert_eq!(period_of_ticks(&[0.0, 0.1]), None);
    }

    #[test]
    fn the_jitter_is_the_deviation_of_single_intervals_and_ticks_at_one_moment_are_no_period() {
        for (times, expected) in [
            (&[0.0, 1.0, 2.0][..], Some((1.0, 0.0))),
            // Intervals of 0.9, 1.1 and 2 x 1: deviations of 0.1, 0.1 and 0.
            (&[0.0, 0.9, 2.0, 4.0], Some((1.0, 0.081_649_658))),
            // A tick too many counts as one: three of 0.1, 1 and 1, about 0.7.
            (&[5.0, 5.1, 6.1, 7.1], Some((0.7, 0.424_264_069))),
            (&[1.0, 1.0, 1.0], None),
        ] {
            let found = period_of_ticks(times).map(|p| (p.mean, p.jitter));
            let close = found.zip(expected).is_none_or(|(f, e)| (f.0 - e.0).abs() < 1e-8 && (f.1 - e.1).abs() < 1e-8);
            assert!(close && found.is_some() == expected.is_some(), "{found:?} of {times:?}");
        }
    }
}
