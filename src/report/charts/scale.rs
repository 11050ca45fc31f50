//! From numbers to places, and where an axis is labelled.

use super::Band;

/// How numbers become places.
#[derive(Debug, Clone)]
pub enum Scale {
    /// From 0 to at least the largest number.
    Linear {
        /// The largest number.
        max: f64,
    },
    /// Between any two numbers, 0 or not.
    Between {
        /// The smallest number.
        min: f64,
        /// The largest number.
        max: f64,
    },
    /// By the logarithm; the ticks are chosen.
    Log {
        /// The smallest number, above 0.
        min: f64,
        /// The largest number.
        max: f64,
    },
    /// By the logarithm, labelled where the numbers are.
    LogAt(Vec<f64>),
    /// Rows.
    Rows(Vec<Band>),
}

impl Scale {
    /// A logarithmic scale over `values`, a twentieth wider at each end than they are; those that are not above 0 have no
    /// place on it.
    #[must_use]
    pub fn log_over(values: impl IntoIterator<Item = f64>) -> Self {
        let (min, max) = ends(values.into_iter().filter(|x| *x > 0.0 && x.is_finite()), (1.0, 10.0));
        let margin = ((max / min).ln() * 0.05).max(0.05).exp();
        Self::Log { min: min / margin, max: max * margin }
    }

    /// A linear scale from 0 over `values`.
    #[must_use]
    pub fn linear_over(values: impl IntoIterator<Item = f64>) -> Self {
        Self::Linear { max: ends(values.into_iter().filter(|x| x.is_finite()), (0.0, 1.0)).1 }
    }

    /// A linear scale over `values`, with 0 if `with` is it.
    #[must_use]
    pub fn between(values: impl IntoIterator<Item = f64>, with: f64) -> Self {
        let values = values.into_iter().chain([with]).filter(|x| x.is_finite());
        let (min, max) = ends(values, (0.0, 1.0));
        let margin = (max - min).max(f64::MIN_POSITIVE) * 0.04;
        Self::Between { min: min - margin, max: max + margin }
    }

    /// Whether it is made of rows.
    #[must_use]
    pub fn is_rows(&self) -> bool {
        matches!(self, Self::Rows(_))
    }

    /// The numbers at both ends.
    #[must_use]
    pub fn domain(&self) -> (f64, f64) {
        match self {
            Self::Linear { max } => (0.0, if *max > 0.0 { *max } else { 1.0 }),
            Self::Between { min, max } | Self::Log { min, max } => (*min, if max > min { *max } else { min + 1.0 }),
            Self::LogAt(at) => {
                let (min, max) = ends(at.iter().copied().filter(|x| *x > 0.0), (1.0, 10.0));
                let margin = ((max / min).ln() * 0.06).max(0.2).exp();
                (min / margin, max * margin)
            }
            Self::Rows(bands) => (-0.5, bands.len() as f64 - 0.5),
        }
    }

    fn is_log(&self) -> bool {
        matches!(self, Self::Log { .. } | Self::LogAt(_))
    }

    /// Where `x` lies: 0 at the beginning of the axis, 1 at its end.
    #[must_use]
    pub fn place(&self, x: f64) -> f64 {
        let (min, max) = self.domain();
        let place = if self.is_log() {
            (x.max(f64::MIN_POSITIVE) / min).ln() / (max / min).ln()
        } else {
            (x - min) / (max - min)
        };
        place.clamp(0.0, 1.0)
    }

    /// The numbers that are labelled: about `count`.
    #[must_use]
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        let (min, max) = self.domain();
        match self {
            Self::LogAt(at) => {
                let mut at = at.clone();
                at.sort_by(f64::total_cmp);
                at.dedup();
                at
            }
            Self::Log { .. } => log_ticks(min, max, count),
            Self::Linear { .. } | Self::Between { .. } => linear_ticks(min, max, count),
            Self::Rows(bands) => (0..bands.len()).map(|i| i as f64).collect(),
        }
    }
}

/// The smallest and the largest of `values`.
fn ends(values: impl Iterator<Item = f64>, otherwise: (f64, f64)) -> (f64, f64) {
    let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if min <= max { (min, max) } else { otherwise }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(min: f64, max: f64, count: usize) -> Vec<f64> {
    let rough = (max - min) / count.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![min];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(power);
    let first = (min / step - 1e-9).ceil();
    let ticks = (0..=2 * count.max(1)).map(|i| (first + i as f64) * step).take_while(|t| *t <= max + step * 1e-9);
    ticks.map(|t| if t.abs() < step * 1e-9 { 0.0 } else { t }).collect()
}

/// Powers of ten, with 2 and 5 times each where there is room; linear ticks where not even that is two.
fn log_ticks(min: f64, max: f64, count: usize) -> Vec<f64> {
    let decades = |within: &[f64], each: i32| {
        #[expect(clippy::cast_possible_truncation, reason = "a decimal exponent")]
        let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
        let exponents = (first..=last).filter(|e| e.rem_euclid(each) == 0);
        let all = exponents.flat_map(|e| within.iter().map(move |m| m * 10f64.powi(e)));
        all.filter(|t| *t >= min * 0.999 && *t <= max * 1.001).collect::<Vec<f64>>()
    };
    let choices = [
        decades(&[1.0, 2.0, 5.0], 1),
        decades(&[1.0, 3.0], 1),
        decades(&[1.0], 1),
        decades(&[1.0], 2),
        decades(&[1.0], 3),
        decades(&[1.0], 6),
    ];
    let fits = choices.into_iter().find(|c| c.len() <= count + 2).unwrap_or_default();
    if fits.len() >= 3 { fits } else { linear_ticks(min, max, count).into_iter().filter(|t| *t > 0.0).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        assert_eq!(Scale::Linear { max: 1.9 }.ticks(5), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(Scale::Linear { max: 4000.0 }.ticks(5), [0.0, 1000.0, 2000.0, 3000.0, 4000.0]);
        assert_eq!(Scale::Between { min: -12.0, max: 47.0 }.ticks(6), [-10.0, 0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Scale::Log { min: 9.0, max: 1100.0 }.ticks(6), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(Scale::LogAt(vec![512.0, 128.0, 512.0]).ticks(5), [128.0, 512.0]);
        let within_a_decade = Scale::Log { min: 120.0, max: 190.0 }.ticks(4);
        assert_eq!(within_a_decade, [120.0, 140.0, 160.0, 180.0]);
    }

    #[test]
    fn a_doubling_is_as_long_everywhere_on_a_logarithmic_axis() {
        let scale = Scale::LogAt(vec![128.0, 2048.0]);
        let step = scale.place(256.0) - scale.place(128.0);
        assert!((scale.place(2048.0) - scale.place(1024.0) - step).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_show_still_makes_an_axis() {
        for scale in [
            Scale::linear_over([]),
            Scale::log_over([0.0, f64::NAN]),
            Scale::between([f64::INFINITY], 0.0),
            Scale::Linear { max: 0.0 },
            Scale::LogAt(vec![]),
            Scale::LogAt(vec![128.0]),
        ] {
            assert!(scale.place(1.0).is_finite(), "{scale:?}");
            assert!(scale.ticks(5).len() < 12, "{scale:?}");
        }
    }
}
