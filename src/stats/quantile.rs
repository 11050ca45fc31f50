//! Order statistics.

/// The `q` quantile (0 to 1) of ascending numbers, linear between neighbours (Hyndman and Fan 1996,
/// type 7).
///
/// # Panics
/// If `sorted` is empty.
#[must_use]
pub fn quantile_sorted(sorted: &[f64], q: f64) -> f64 {
    assert!(!sorted.is_empty(), "a quantile needs at least one number");
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slice")]
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high) = (sorted[below], sorted[above]);
    if low == high { low } else { low + (position - below as f64) * (high - low) }
}

/// The median of numbers in any order; `None` of none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(quantile_sorted(&sorted, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_halfway() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn quantiles_lie_between_their_neighbours_and_never_beyond_the_ends() {
        let quarters = [-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0].map(|q| quantile_sorted(&[10.0, 20.0, 40.0], q));
        assert_eq!(quarters, [10.0, 10.0, 15.0, 20.0, 30.0, 40.0, 40.0]);
        assert_eq!(quantile_sorted(&[f64::INFINITY; 2], 0.3), f64::INFINITY);
        assert_eq!(quantile_sorted(&[7.0], 0.3), 7.0);
    }
}
