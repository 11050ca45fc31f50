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

    /// Mean and third central moment of the logarithm: they add up where independent numbers are multiplied, as medians do not.
    /// Normal numbers by the first terms of their series in the relative spread, bounded ones by 16 slices of equal
    /// probability. `None` where the logarithm has no mean, as of a number that may be negative.
    #[must_use]
    pub fn ln_moments(self) -> Option<(f64, f64)> {
        let quantile = |u: f64| match self {
            Self::Uniform(low, high) => low + u * (high - low),
            Self::Triangular(low, mode, high) => triangular(low, mode, high, u),
            Self::Halves(low, middle, high) => halves(low, middle, high, u),
            Self::Point(x) | Self::Normal(x, _) | Self::StudentT(x, _, _) | Self::LogNormal(x, _) => x,
        };
        let (middle, low) = (quantile(0.5), quantile(0.0));
        if middle <= 0.0 || low < 0.0 {
            return None;
        }
        Some(match self {
            Self::Point(_) | Self::LogNormal(..) => (middle.ln(), 0.0),
            Self::Normal(mean, sd) | Self::StudentT(mean, sd, _) => {
                let square = (sd / mean).powi(2);
                (mean.ln() - square / 2.0, -3.0 * square * square)
            }
            Self::Uniform(..) | Self::Triangular(..) | Self::Halves(..) => {
                let ln: [f64; SLICES] = std::array::from_fn(|i| quantile((i as f64 + 0.5) / SLICES as f64).ln());
                let mean = ln.iter().sum::<f64>() / SLICES as f64;
                (mean, ln.iter().map(|x| (x - mean).powi(3)).sum::<f64>() / SLICES as f64)
            }
        })
    }
}

/// Slices of equal probability of [`Distribution::ln_moments`].
const SLICES: usize = 16;

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

    #[test]
    fn each_distribution_has_the_centre_median_and_spread_that_algebra_gives_it() {
        use Distribution::{Halves, LogNormal, Normal, Point, StudentT, Triangular, Uniform};
        for (distribution, centre, median, ln_sd) in [
            (Point(3.0), 3.0, 3.0, 0.0),
            // ln(13.92 / 6.08) / 3.92
            (Normal(10.0, 2.0), 10.0, 10.0, 0.211_306_622),
            (StudentT(10.0, 2.0, 3.0), 10.0, 10.0, 0.211_306_622),
            (LogNormal(5.0, std::f64::consts::E), 5.0, 5.0, 1.0),
            // ln(2.95 / 1.05) / 3.92
            (Uniform(1.0, 3.0), 2.0, 2.0, 0.263_524_236),
            // Ends at 1 + sqrt(0.05) and 3 - sqrt(0.05).
            (Triangular(1.0, 2.0, 3.0), 2.0, 2.0, 0.209_017_803),
            // ln(4.85 / 1.05) / 3.92
            (Halves(1.0, 2.0, 5.0), 2.0, 2.0, 0.390_354_220),
            // 4 - sqrt(8), and ln(3.367544 / 0.050633) / 3.92
            (Triangular(0.0, 0.0, 4.0), 0.0, 1.171_572_875, 1.072_348_645),
            (Halves(0.0, 0.0, 1.0), 0.0, 0.0, 0.5),
            (Normal(1.0, 1.0), 1.0, 1.0, 0.5),
        ] {
            assert_eq!(distribution.centre(), centre, "{distribution:?}");
            assert!((distribution.median() - median).abs() < 1e-9, "{distribution:?}: {}", distribution.median());
            assert!((distribution.ln_sd() - ln_sd).abs() < 1e-7, "{distribution:?}: {}", distribution.ln_sd());
        }
        for (low, middle, high, expected) in [
            (1.0, 2.0, 3.0, Halves(1.0, 2.0, 3.0)),
            (1.0, 5.0, 3.0, Halves(1.0, 3.0, 3.0)),
            (3.0, 3.0, 3.0, Point(3.0)),
        ] {
            assert_eq!(Distribution::between(low, middle, high), expected);
        }
    }

    #[test]
    fn the_moments_of_a_logarithm_are_those_of_its_draws() {
        use Distribution::{Halves, LogNormal, Normal, Point, Triangular, Uniform};
        for distribution in [
            Point(3.0),
            LogNormal(5.0, 1.4),
            Normal(10.0, 1.5),
            Uniform(1.0, 3.0),
            Triangular(0.3, 1.0, 3.0),
            Halves(1.0, 2.0, 12.0),
        ] {
            let (mean, third) = distribution.ln_moments().expect("positive");
            let draws: Vec<f64> = Stream::new(7, "x").draws(distribution, 100_000).into_iter().map(f64::ln).collect();
            let centre = draws.iter().sum::<f64>() / 1e5;
            let drawn_third = draws.iter().map(|x| (x - centre).powi(3)).sum::<f64>() / 1e5;
            assert!((mean - centre).abs() < 0.006, "{distribution:?}: {mean}, {centre}");
            assert!((third - drawn_third).abs() < 0.025, "{distribution:?}: {third}, {drawn_third}");
        }
        // By hand: E ln of a uniform number from 1 to 3 is (3 ln 3) / 2 - 1.
        let (mean, third) = Uniform(1.0, 3.0).ln_moments().expect("positive");
        assert!((mean - (1.5 * 3.0_f64.ln() - 1.0)).abs() < 1e-3 && third < 0.0, "{mean}, {third}");
        for of in [Point(-1.0), Point(0.0), Uniform(-1.0, 3.0), Halves(0.0, 0.0, 1.0)] {
            assert_eq!(of.ln_moments(), None);
        }
    }

    #[test]
    fn draws_span_the_95_percent_that_tables_give_for_their_distribution() {
        use Distribution::{Halves, Normal, Point, StudentT, Triangular, Uniform};
        for (distribution, mid, low, high, tolerance) in [
            (Point(3.0), 3.0, 3.0, 3.0, 0.0),
            (Normal(10.0, 2.0), 10.0, 6.08, 13.92, 0.15),
            // t(0.975) of 3 degrees of freedom is 3.182.
            (StudentT(10.0, 2.0, 3.0), 10.0, 3.64, 16.36, 0.4),
            (Uniform(10.0, 14.0), 12.0, 10.1, 13.9, 0.1),
            // 10 + sqrt(0.5 x 4 x 3), 10 + sqrt(0.025 x 4 x 3), 14 - sqrt(0.025 x 4).
            (Triangular(10.0, 13.0, 14.0), 12.449, 10.548, 13.684, 0.05),
            (Halves(10.0, 12.0, 30.0), 12.0, 10.1, 29.1, 0.2),
        ] {
            let found = Interval::of_draws(Stream::new(9, "x").draws(distribution, 20_000));
            let apart = [found.mid - mid, found.low - low, found.high - high];
            assert!(apart.iter().all(|x| x.abs() <= tolerance), "{distribution:?}: {found:?}");
        }
        assert_eq!([0.1875, 0.75, 0.9375].map(|u| triangular(10.0, 13.0, 14.0, u)), [11.5, 13.0, 13.5]);
        assert_eq!(triangular(5.0, 5.0, 5.0, 0.3), 5.0);
    }

    #[test]
    fn each_bit_of_a_name_and_of_a_seed_makes_a_stream_of_its_own() {
        let first = |seed, name| Stream::new(seed, name).uniform();
        // Letters that differ in one bit; and the seed that changes no bit but one, which the name has set.
        for (seed, name) in [(0, "c"), (0, "e"), (0xc77a_0f86_64dd_ccf4, "a")] {
            assert_ne!(first(seed, name), first(0, "a"), "{seed} {name}");
        }
    }
}
