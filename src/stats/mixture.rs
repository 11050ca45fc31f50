//! Quantiles of what may come from several distributions, and of numbers that do not count alike.

use statrs::function::erf::erf;

/// One of the normal distributions that a number may come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// How likely it is that the number comes from it, over the sum of all.
    pub weight: f64,
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
}

/// The `q` quantile (0 to 1) of a mixture of normal distributions, by bisection of its distribution function.
///
/// # Panics
/// If there is no component.
#[must_use]
pub fn mixture_quantile(components: &[Component], q: f64) -> f64 {
    assert!(!components.is_empty(), "a quantile needs a distribution");
    let total: f64 = components.iter().map(|c| c.weight).sum();
    let below = |x: f64| -> f64 {
        let part = |c: &Component| c.weight * 0.5 * (1.0 + erf((x - c.mean) / (c.sd * std::f64::consts::SQRT_2)));
        components.iter().map(part).sum::<f64>() / total
    };
    let ends = |sign: f64| components.iter().map(move |c| c.mean + sign * 10.0 * c.sd);
    let (mut low, mut high) = (ends(-1.0).fold(f64::INFINITY, f64::min), ends(1.0).fold(f64::NEG_INFINITY, f64::max));
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if below(middle) < q { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The least of `(value, weight)` below or at which at least the part `q` of all weight lies.
///
/// # Panics
/// If there is no number.
#[must_use]
pub fn weighted_quantile(values: &[(f64, f64)], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (value, weight) in &sorted {
        below += weight;
        // What is a rounding error short of it is not short of it.
        if below >= q * total * (1.0 - 1e-12) {
            return *value;
        }
    }
    sorted.last().expect("a quantile needs at least one number").0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(weight: f64, mean: f64, sd: f64) -> Component {
        Component { weight, mean, sd }
    }

    #[test]
    fn one_normal_distribution_has_its_own_quantiles() {
        let one = [component(3.0, 2.0, 0.5)];
        assert!((mixture_quantile(&one, 0.5) - 2.0).abs() < 1e-9);
        // 1.959964 standard deviations.
        assert!((mixture_quantile(&one, 0.975) - 2.979_982).abs() < 1e-5);
    }

    #[test]
    fn two_far_apart_split_at_their_weights() {
        let two = [component(0.25, 0.0, 0.01), component(0.75, 10.0, 0.01)];
        // The tenth part of all is 0.4 of the first: -0.2533 standard deviations.
        assert!((mixture_quantile(&two, 0.1) + 0.002_533).abs() < 1e-5);
        // The first quarter ends between them, and the half of all is a third into the second: -0.4307.
        assert!((mixture_quantile(&two, 0.5) - 9.995_693).abs() < 1e-5);
    }

    #[test]
    fn weights_decide_where_a_quantile_lies() {
        let values = [(3.0, 1.0), (1.0, 1.0), (2.0, 2.0)];
        assert_eq!([0.25, 0.5, 0.75, 0.76, 1.0].map(|q| weighted_quantile(&values, q)), [1.0, 2.0, 2.0, 3.0, 3.0]);
    }
}
