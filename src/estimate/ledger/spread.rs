//! Numbers as a middle and how it answers to each input: no draws, for a hundred thousand scenarios.

use std::cell::RefCell;

use super::arithmetic::Arithmetic;
use crate::estimate::request::input::Input;
use crate::stats::Interval;

/// Inputs that are told apart; there are fewer.
const MOST: usize = 20;
/// The normal distribution has 95 % between this many standard deviations below its middle and above it.
const Z_95: f64 = 1.96;
/// A distribution that is more skewed than this is not one that its first three moments describe.
const MOST_SKEWED: f64 = 1.0;

/// A geometric mean, and by how much its logarithm changes with one standard deviation of each input: the product rule of the
/// GUM (JCGM 100, section 5.1.6), in which an input that comes in twice is not counted as two. The median of a product is not
/// the product of medians where inputs are skewed; means and third moments of logarithms do add up, and the quantiles follow
/// from them (Cornish and Fisher 1938, first term).
#[derive(Debug, Clone)]
pub(in crate::estimate) struct Spread {
    /// The geometric mean.
    pub(in crate::estimate) mid: f64,
    answers: [f64; MOST],
    /// Skewness of the logarithm of each input.
    skews: [f64; MOST],
}

impl Spread {
    fn new(mid: f64) -> Self {
        Self { mid, answers: [0.0; MOST], skews: [0.0; MOST] }
    }

    fn combined(mid: f64, (a, b): (&Self, &Self), answer: impl Fn(usize) -> f64) -> Self {
        let skew = |i: usize| if a.answers[i] == 0.0 { b.skews[i] } else { a.skews[i] };
        Self { mid, answers: std::array::from_fn(answer), skews: std::array::from_fn(skew) }
    }

    /// The median and the 95 % interval.
    pub(in crate::estimate) fn interval(&self) -> Interval {
        let ln_sd = self.answers.iter().map(|x| x * x).sum::<f64>().sqrt();
        if ln_sd == 0.0 {
            return Interval::point(self.mid);
        }
        let third: f64 = self.answers.iter().zip(&self.skews).map(|(x, skew)| x.powi(3) * skew).sum();
        let skew = (third / ln_sd.powi(3)).clamp(-MOST_SKEWED, MOST_SKEWED);
        let quantile = |z: f64| self.mid * (ln_sd * (z + (z * z - 1.0) * skew / 6.0)).exp();
        Interval { mid: quantile(0.0), low: quantile(-Z_95), high: quantile(Z_95) }
    }
}

/// The arithmetic of [`Spread`]; knows the place of each input by its name.
#[derive(Debug, Default)]
pub(in crate::estimate) struct Spreads(RefCell<Vec<&'static str>>);

impl Spreads {
    /// An uncertain number of this geometric mean, with this standard deviation and skewness of its logarithm.
    pub(in crate::estimate) fn uncertain(&self, name: &'static str, mid: f64, (ln_sd, skew): (f64, f64)) -> Spread {
        let mut names = self.0.borrow_mut();
        let place = names.iter().position(|n| *n == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        let mut spread = Spread::new(mid);
        // Beyond the last place, inputs are taken to go together, which makes the interval wider, not narrower.
        spread.answers[place.min(MOST - 1)] = ln_sd;
        spread.skews[place.min(MOST - 1)] = skew;
        spread
    }
}

impl Arithmetic for Spreads {
    type Number = Spread;

    fn input(&self, input: &Input) -> Spread {
        let ln_sd = input.distribution.ln_sd();
        match input.distribution.ln_moments() {
            Some((mean, third)) if ln_sd > 0.0 => {
                self.uncertain(input.name, mean.exp(), (ln_sd, third / ln_sd.powi(3)))
            }
            _ => self.uncertain(input.name, input.distribution.median(), (ln_sd, 0.0)),
        }
    }

    fn exactly(&self, value: f64, _: &str) -> Spread {
        Spread::new(value)
    }

    fn add(&self, a: &Spread, b: &Spread) -> Spread {
        let sum = a.mid + b.mid;
        let whole = if sum == 0.0 { f64::MIN_POSITIVE } else { sum };
        Spread::combined(sum, (a, b), |i| (a.mid * a.answers[i] + b.mid * b.answers[i]) / whole)
    }

    fn multiply(&self, a: &Spread, b: &Spread) -> Spread {
        Spread::combined(a.mid * b.mid, (a, b), |i| a.answers[i] + b.answers[i])
    }

    fn divide(&self, a: &Spread, b: &Spread) -> Spread {
        Spread::combined(a.mid / b.mid, (a, b), |i| a.answers[i] - b.answers[i])
    }

    fn not_negative(&self, a: &Spread) -> Spread {
        Spread { mid: a.mid.max(0.0), ..a.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_comes_in_twice_is_one_input_and_what_cancels_is_certain() {
        let a = Spreads::default();
        let (x, y) = (a.uncertain("x", 2.0, (0.3, 0.0)), a.uncertain("y", 5.0, (0.4, 0.0)));
        let sd = |s: &Spread| (s.interval().high / s.mid).ln() / 1.96;
        assert!((sd(&a.multiply(&x, &y)) - 0.5).abs() < 1e-12, "3, 4, 5");
        assert!((sd(&a.multiply(&x, &x)) - 0.6).abs() < 1e-12);
        assert!(sd(&a.divide(&x, &x)) < 1e-12);
        // 2 +- 30 % and 6 exactly are 8 +- 7.5 %.
        let sum = a.add(&x, &a.exactly(6.0, ""));
        assert!((sd(&sum) - 0.075).abs() < 1e-12 && sum.mid == 8.0);
    }

    #[test]
    fn more_inputs_than_there_are_places_go_together_and_make_it_no_narrower() {
        const NAMES: [&str; 22] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u",
            "v",
        ];
        let a = Spreads::default();
        let product =
            NAMES.map(|n| a.uncertain(n, 1.0, (0.1, 0.0))).into_iter().reduce(|x, y| a.multiply(&x, &y)).expect("22");
        // 19 of 0.1 and one of 3 x 0.1: the root of 0.19 + 0.09.
        let interval = product.interval();
        assert!((interval.high.ln() / 1.96 - 0.28f64.sqrt()).abs() < 1e-12, "{interval:?}");
        assert!((interval.low * interval.high - 1.0).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn nothing_and_nothing_are_nothing_and_what_is_below_it_as_well() {
        let a = Spreads::default();
        let nothing = a.add(&a.uncertain("x", 0.0, (0.3, 0.0)), &a.uncertain("y", 0.0, (0.3, 0.0)));
        assert_eq!(nothing.interval(), Interval::point(0.0));
        assert_eq!([-2.0, 2.0].map(|x| a.not_negative(&a.exactly(x, "")).interval().mid), [0.0, 2.0]);
    }
}
