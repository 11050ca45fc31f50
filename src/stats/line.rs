//! A straight line through a few means, and what it says elsewhere.

use super::Mean;

/// The value at `x` of the straight line through means at other places, each weighed by its certainty (weighted least squares). Where
/// three means or more lie farther from a line than their standard errors explain, that of the result grows with them. `None`
/// below two places.
#[must_use]
pub fn on_the_line(means: &[(f64, Mean)], x: f64) -> Option<Mean> {
    // Of means that are exact all weigh the same.
    let least = means.iter().map(|(_, m)| m.mean.abs()).fold(0.0, f64::max) * 1e-9;
    let variance = |m: &Mean| m.standard_error.max(least).max(f64::MIN_POSITIVE).powi(2);
    let weighed =
        |of: &dyn Fn(f64, f64) -> f64| -> f64 { means.iter().map(|(x, m)| of(*x, m.mean) / variance(m)).sum() };
    let total = weighed(&|_, _| 1.0);
    let centre = weighed(&|x, _| x) / total;
    let spread = weighed(&|x, _| (x - centre).powi(2));
    if means.len() < 2 || spread.is_nan() || spread <= total * 1e-12 {
        return None;
    }
    let slope = weighed(&|x, y| (x - centre) * y) / spread;
    let level = weighed(&|_, y| y) / total;
    let value = |x: f64| level + slope * (x - centre);
    let chi2: f64 = means.iter().map(|(x, m)| (m.mean - value(*x)).powi(2) / variance(m)).sum();
    let excess = if means.len() > 2 { (chi2 / (means.len() - 2) as f64).max(1.0) } else { 1.0 };
    Some(Mean {
        mean: value(x),
        standard_error: (excess * (1.0 / total + (x - centre).powi(2) / spread)).sqrt(),
        degrees_of_freedom: means.iter().map(|(_, m)| m.degrees_of_freedom).fold(f64::INFINITY, f64::min),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mean: f64, standard_error: f64) -> Mean {
        Mean { mean, standard_error, degrees_of_freedom: 9.0 }
    }

    #[test]
    fn two_means_give_the_line_through_them_and_its_error_grows_with_the_distance() {
        // 1 + 2 x: from 2 and 4 to 12 is (12 - 2) / 2 = 5 slopes: 5 x second - 4 x first.
        let line = on_the_line(&[(2.0, mean(5.0, 0.3)), (4.0, mean(9.0, 0.4))], 12.0).expect("two places");
        assert!((line.mean - 25.0).abs() < 1e-12);
        assert!((line.standard_error - (0.3f64.powi(2) * 16.0 + 0.4f64.powi(2) * 25.0).sqrt()).abs() < 1e-12);
        assert!(on_the_line(&[(2.0, mean(5.0, 0.3)), (2.0, mean(9.0, 0.4))], 12.0).is_none());
        assert!(on_the_line(&[(2.0, mean(5.0, 0.3))], 12.0).is_none());
    }

    #[test]
    fn means_that_lie_on_no_line_widen_the_error() {
        let of = |middle: f64| {
            let means = [(1.0, mean(1.0, 0.1)), (2.0, mean(middle, 0.1)), (3.0, mean(3.0, 0.1))];
            on_the_line(&means, 4.0).expect("three places")
        };
        assert!((of(2.0).mean - 4.0).abs() < 1e-12);
        // Off by 0.6: residuals 0.2, 0.4, 0.2 of 0.1: chi2 24.
        assert!((of(2.6).standard_error / of(2.0).standard_error - 24f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn exact_means_are_a_line_too() {
        let line = on_the_line(&[(2.0, mean(4.0, 0.0)), (4.0, mean(8.0, 0.0))], 6.0).expect("two places");
        assert!((line.mean - 12.0).abs() < 1e-6, "{}", line.mean);
    }
}
