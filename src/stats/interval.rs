//! A point with its 95 % interval.

use serde::{Deserialize, Serialize};

use super::quantile_sorted;

/// An estimate: the middle and the ends of its 95 % interval, in the unit of the field that holds it.
///
/// ```
/// use greenformers::stats::Interval;
///
/// let hours = Interval { mid: 2.0, low: 1.5, high: 3.0 };
/// assert_eq!(hours.scaled(60.0), Interval { mid: 120.0, low: 90.0, high: 180.0 });
/// assert!(hours.contains(3.0) && !hours.contains(3.1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The best single value.
    pub mid: f64,
    /// The 2.5 % end.
    pub low: f64,
    /// The 97.5 % end.
    pub high: f64,
}

impl Interval {
    /// A value without uncertainty.
    #[must_use]
    pub fn point(value: f64) -> Self {
        Self { mid: value, low: value, high: value }
    }

    /// `mid` plus or minus `half_width`.
    #[must_use]
    pub fn around(mid: f64, half_width: f64) -> Self {
        Self { mid, low: mid - half_width, high: mid + half_width }
    }

    /// Median and 2.5 % / 97.5 % quantiles of Monte Carlo draws (JCGM 101, §7.7).
    ///
    /// # Panics
    /// If `draws` is empty.
    #[must_use]
    pub fn of_draws(mut draws: Vec<f64>) -> Self {
        draws.sort_by(f64::total_cmp);
        Self {
            mid: quantile_sorted(&draws, 0.5),
            low: quantile_sorted(&draws, 0.025),
            high: quantile_sorted(&draws, 0.975),
        }
    }

    /// The same interval in another unit.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let (a, b) = (self.low * factor, self.high * factor);
        Self { mid: self.mid * factor, low: a.min(b), high: a.max(b) }
    }

    /// The product with another, independent of it; both above 0: squares of logarithms add up (JCGM 100, §5.1.6).
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let apart = |a: f64, b: f64| if a == b { 0.0 } else { (a / b).ln() };
        let mid = self.mid * other.mid;
        let below = apart(self.mid, self.low).hypot(apart(other.mid, other.low));
        let above = apart(self.high, self.mid).hypot(apart(other.high, other.mid));
        Self { mid, low: mid * (-below).exp(), high: mid * above.exp() }
    }

    /// Half the width over the middle; 0 for a point at 0.
    #[must_use]
    pub fn relative_half_width(self) -> f64 {
        let half = (self.high - self.low) / 2.0;
        if half == 0.0 { 0.0 } else { half / self.mid.abs() }
    }

    /// Standard deviation of the logarithm of a log-normal quantity whose 95 % interval this is; both ends above 0.
    #[must_use]
    pub fn ln_sd(self) -> f64 {
        (self.high / self.low).ln() / (2.0 * 1.96)
    }

    /// Whether `value` lies inside, ends included.
    #[must_use]
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Whether the three numbers are finite and in order.
    #[must_use]
    pub fn is_valid(self) -> bool {
        [self.mid, self.low, self.high].iter().all(|x| x.is_finite()) && self.low <= self.mid && self.mid <= self.high
    }
}

/// A positive quantity whose readings scatter by `spread` and are all off by `gain` together, both relative standard
/// uncertainties: a log-normal 95 % interval.
#[must_use]
pub fn with_gain(mid: f64, spread: f64, gain: f64) -> Interval {
    let sigma = ((1.0 + spread).ln().powi(2) + (1.0 + gain).ln().powi(2)).sqrt();
    let factor = (1.96 * sigma).exp();
    Interval { mid, low: mid / factor, high: mid * factor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred_and_one_draws() {
        let interval = Interval::of_draws((0..=1000).rev().map(f64::from).collect());
        assert_eq!(interval, Interval { mid: 500.0, low: 25.0, high: 975.0 });
    }

    #[test]
    fn a_gain_of_40_percent_spans_a_factor_of_1_93_each_way() {
        let interval = with_gain(100.0, 0.0, 0.4);
        assert!((interval.high - 193.4).abs() < 0.1 && (interval.low - 51.7).abs() < 0.1, "{interval:?}");
    }

    #[test]
    fn a_factor_scales_all_three_and_a_negative_one_keeps_the_ends_in_order() {
        let interval = Interval { mid: 2.0, low: 1.0, high: 4.0 };
        assert_eq!(interval.scaled(-3.0), Interval { mid: -6.0, low: -12.0, high: -3.0 });
        assert_eq!(interval.scaled(0.5), Interval { mid: 1.0, low: 0.5, high: 2.0 });
    }

    #[test]
    fn a_product_has_the_intervals_of_both() {
        // Factors of exp(0.3) and exp(0.4) make exp(0.5).
        let of = |mid: f64, ln: f64| Interval { mid, low: mid * (-ln).exp(), high: mid * ln.exp() };
        let product = of(2.0, 0.3).times(of(5.0, 0.4));
        assert!((product.low - 6.065_307).abs() < 1e-6 && (product.high - 16.487_213).abs() < 1e-6, "{product:?}");
        assert_eq!(product.mid, 10.0);
        assert_eq!(Interval::point(2.0).times(Interval::point(3.0)), Interval::point(6.0));
    }

    #[test]
    fn intervals_are_made_read_and_judged_by_their_ends() {
        let of = |mid, low, high| Interval { mid, low, high };
        assert_eq!(Interval::point(7.0), of(7.0, 7.0, 7.0));
        assert_eq!(Interval::around(7.0, 2.0), of(7.0, 5.0, 9.0));
        for (interval, half, valid) in [
            (of(-4.0, -5.0, -3.0), 0.25, true),
            (of(10.0, 8.0, 20.0), 0.6, true),
            (of(0.0, 0.0, 0.0), 0.0, true),
            (of(2.0, 3.0, 3.5), 0.125, false),
            (of(4.0, 3.0, 3.5), 0.0625, false),
            (of(2.0, 1.0, f64::INFINITY), f64::INFINITY, false),
        ] {
            assert_eq!((interval.relative_half_width(), interval.is_valid()), (half, valid), "{interval:?}");
        }
        assert!(!of(f64::NAN, 1.0, 2.0).is_valid());
        let held = [0.9, 1.0, 1.5, 2.0, 2.1].map(|x| of(1.2, 1.0, 2.0).contains(x));
        assert_eq!(held, [false, true, true, true, false]);
    }

    #[test]
    fn spread_and_gain_add_as_squares_of_logarithms() {
        // Logarithms of 0.3 and 0.4 make 0.5: a factor of exp(0.98) = 2.664456.
        let found = with_gain(100.0, 0.349_858_807_6, 0.491_824_697_6);
        assert!((found.low - 37.531_110).abs() < 1e-4 && (found.high - 266.445_624).abs() < 1e-4, "{found:?}");
        assert_eq!(found.mid, 100.0);
    }
}
