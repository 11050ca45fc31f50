//! Where a noisy curve first comes down to a value.

/// The place at which the running minimum of `curve` first is no larger than `target`; `None` if it never is.
///
/// `curve` has places, which rise from 0 or above, and values. The running minimum at a place is the smallest value so far: a curve that
/// came down and scatters upwards again counts as having been there. Between two places it falls in a line against the logarithm of the
/// place, as a loss does against steps (Kaplan et al. 2020, arXiv 2001.08361); from place 0, which has no logarithm, against the place
/// itself. Nothing is said of what lies beyond the last place.
///
/// ```
/// use greenformers::stats::first_reached;
///
/// let curve = [(0.0, 8.0), (10.0, 6.0), (40.0, 4.0)];
/// // Half of the way from 6 to 4 is half of the way from 10 to 40 in logarithms.
/// assert!((first_reached(&curve, 5.0).unwrap() - 20.0).abs() < 1e-12);
/// assert_eq!(first_reached(&curve, 3.9), None);
/// ```
#[must_use]
pub fn first_reached(curve: &[(f64, f64)], target: f64) -> Option<f64> {
    let mut before: Option<(f64, f64)> = None;
    for &(place, value) in curve {
        if value <= target {
            let Some((from, lowest)) = before else { return Some(place) };
            let share = (lowest - target) / (lowest - value);
            return Some(if from > 0.0 { from * (place / from).powf(share) } else { place * share });
        }
        let lowest = before.map_or(value, |(_, lowest)| lowest.min(value));
        before = Some((place, lowest));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(curve: &[(f64, f64)], target: f64, expected: f64) {
        let found = first_reached(curve, target).expect("it is reached");
        assert!((found - expected).abs() < 1e-9, "{found}, and {expected} was worked out");
    }

    #[test]
    fn a_curve_is_read_between_its_points() {
        let curve = [(0.0, 8.0), (100.0, 6.0), (200.0, 5.0), (800.0, 4.0)];
        // A quarter of the way from 8 to 6, from place 0: 25 of 100.
        near(&curve, 7.5, 25.0);
        near(&curve, 6.0, 100.0);
        // 0.5 of the way: the root of 200 x 800.
        near(&curve, 4.5, 400.0);
        near(&curve, 4.0, 800.0);
        assert_eq!(first_reached(&curve, 3.999), None);
        assert_eq!(first_reached(&curve, 8.5), Some(0.0));
        assert_eq!(first_reached(&[], 1.0), None);
    }

    #[test]
    fn a_value_that_scatters_upwards_takes_nothing_back() {
        // The running minimum is 5 at 10 and at 20, and 4 at 80: half of the way is the root of 20 x 80.
        near(&[(10.0, 5.0), (20.0, 7.0), (80.0, 4.0)], 4.5, 40.0);
        near(&[(10.0, 5.0), (20.0, 4.0), (80.0, 9.0)], 4.0, 20.0);
    }
}
