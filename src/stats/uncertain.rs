//! Uncertain inputs and reproducible draws from them.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, StandardNormal, StandardUniform, StudentT};
use serde::{Deserialize, Serialize};

/// What is known of an input, as a probability distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Exactly this.
    Point(f64),
    /// Normal with a mean and a standard deviation.
    Normal(f64, f64),
    /// Student's t: mean, standard error, degrees of freedom.
    StudentT(f64, f64, f64),
    /// Log-normal with a median and a geometric standard deviation (at least 1).
    LogNormal(f64, f64),
    /// Uniform from low to high.
    Uniform(f64, f64),
    /// Triangular: low, mode, high.
    Triangular(f64, f64, f64),
    /// Anywhere from low to the middle in half of the cases, anywhere from there to high in the others: what is known of
    /// a number that one source gives and others put elsewhere.
    Halves(f64, f64, f64),
}

impl Distribution {
    /// A value known to lie between `low` and `high`, as likely below `middle` as above; a point if the ends meet.
    #[must_use]
    pub fn between(low: f64, middle: f64, high: f64) -> Self {
        if low < high { Self::Halves(low, middle.clamp(low, high), high) } else { Self::Point(middle) }
    }

    /// The value to show for it: the mean, median or mode that defines it.
    #[must_use]
    pub fn centre(self) -> f64 {
        match self {
            Self::Point(x)
            | Self::Normal(x, _)
            | Self::StudentT(x, _, _)
            | Self::LogNormal(x, _)
            | Self::Triangular(_, x, _)
            | Self::Halves(_, x, _) => x,
            Self::Uniform(low, high) => f64::midpoint(low, high),
        }
    }
}

impl Distribution {
    /// The value that half of the draws lie below.
    #[must_use]
    pub fn median(self) -> f64 {
        match self {
            Self::Triangular(low, mode, high) => triangular(low, mode, high, 0.5),
            other => other.centre(),
        }
    }

    /// The standard deviation of the logarithm, from the 95 % interval as if it were log-normal.
    #[must_use]
    pub fn ln_sd(self) -> f64 {
        let (low, high) = match self {
            Self::Point(_) => return 0.0,
            Self::LogNormal(_, gsd) => return gsd.ln(),
            Self::Normal(mean, sd) | Self::StudentT(mean, sd, _) => (mean - 1.96 * sd, mean + 1.96 * sd),
            Self::Uniform(low, high) => (low + 0.025 * (high - low), high - 0.025 * (high - low)),
            Self::Triangular(low, mode, high) => {
                (triangular(low, mode, high, 0.025), triangular(low, mode, high, 0.975))
            }
            Self::Halves(low, middle, high) => (halves(low, middle, high, 0.025), halves(low, middle, high, 0.975)),
        };
        if low > 0.0 { (high / low).ln() / (2.0 * 1.96) } else { 0.5 }
    }
}

/// A stream of random draws of its own for each named input.
///
/// Two estimates with the same seed draw the same PUE, the same grid intensity and so on in the same
/// trial, whatever else either of them draws: the common random numbers that let shared inputs cancel in
/// ratios.
pub struct Stream(StdRng);

impl Stream {
    /// The stream of the input called `name` under `seed`.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a: spreads names over seeds; no cryptographic claim is needed.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(StdRng::seed_from_u64(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// One draw of a standard normal.
    pub fn standard_normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// One draw from 0 (inclusive) to 1 (exclusive).
    pub fn uniform(&mut self) -> f64 {
        StandardUniform.sample(&mut self.0)
    }

    /// One draw of `distribution`.
    pub fn draw(&mut self, distribution: Distribution) -> f64 {
        match distribution {
            Distribution::Point(x) => x,
            Distribution::Normal(mean, sd) => mean + sd * self.standard_normal(),
            Distribution::StudentT(mean, scale, freedom) => {
                StudentT::new(freedom).map_or(mean, |t| mean + scale * t.sample(&mut self.0))
            }
            Distribution::LogNormal(median, gsd) => median * (gsd.ln() * self.standard_normal()).exp(),
            Distribution::Uniform(low, high) => low + (high - low) * self.uniform(),
            Distribution::Triangular(low, mode, high) => triangular(low, mode, high, self.uniform()),
            Distribution::Halves(low, middle, high) => halves(low, middle, high, self.uniform()),
        }
    }

    /// `n` draws of `distribution`.
    pub fn draws(&mut self, distribution: Distribution, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.draw(distribution)).collect()
    }
}

/// The inverse of the triangular distribution's cumulative function at `u`.
fn triangular(low: f64, mode: f64, high: f64, u: f64) -> f64 {
    let width = high - low;
    if width <= 0.0 {
        return mode;
    }
    if u < (mode - low) / width {
        low + (u * width * (mode - low)).sqrt()
    } else {
        high - ((1.0 - u) * width * (high - mode)).sqrt()
    }
}

/// The inverse of the cumulative function of two halves at `u`.
fn halves(low: f64, middle: f64, high: f64, u: f64) -> f64 {
    if u < 0.5 { low + 2.0 * u * (middle - low) } else { middle + (2.0 * u - 1.0) * (high - middle) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Interval;

    #[test]
    fn the_same_seed_and_name_give_the_same_draws() {
        let draws = |seed, name| Stream::new(seed, name).draws(Distribution::Uniform(0.0, 1.0), 3);
        assert_eq!(draws(1, "pue"), draws(1, "pue"));
        assert_ne!(draws(1, "pue"), draws(2, "pue"));
        assert_ne!(draws(1, "pue"), draws(1, "price"));
    }

    #[test]
    fn triangular_quartiles_are_where_algebra_puts_them() {
        // symmetric on 0..2: F(x) = x^2/2 below 1
        assert!((triangular(0.0, 1.0, 2.0, 0.125) - 0.5).abs() < 1e-12);
        assert!((triangular(0.0, 1.0, 2.0, 0.5) - 1.0).abs() < 1e-12);
        assert!((triangular(0.0, 1.0, 2.0, 0.875) - 1.5).abs() < 1e-12);
    }

    #[test]
    fn half_of_the_draws_lie_below_the_middle_however_near_an_end_it_is() {
        let quartile = |u| halves(10.0, 12.0, 30.0, u);
        assert_eq!([quartile(0.25), quartile(0.5), quartile(0.75)], [11.0, 12.0, 21.0]);
        let draws = Stream::new(5, "x").draws(Distribution::between(10.0, 10.0, 30.0), 1000);
        assert!(draws.iter().filter(|x| **x == 10.0).count() > 400);
    }

    #[test]
    fn a_log_normal_of_gsd_1_4_spans_a_factor_1_93_each_way() {
        let draws = Stream::new(3, "x").draws(Distribution::LogNormal(10.0, 1.4), 40_000);
        let interval = Interval::of_draws(draws);
        assert!((interval.high / 10.0 - 1.934).abs() < 0.04, "{interval:?}");
        assert!((10.0 / interval.low - 1.934).abs() < 0.04, "{interval:?}");
    }
}
