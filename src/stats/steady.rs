//! Whether a series has stopped drifting.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// How a series of block means moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Largest block mean over the smallest, less 1.
    pub spread: f64,
    /// Change from one block to the next, over the mean: slope of the least-squares line.
    pub slope: f64,
    /// Whether that slope differs from 0 at 95 % by its t test.
    pub significant: bool,
}

/// The drift of positive block means in the order in which they were taken. With two blocks no slope can be told from
/// chance.
///
/// `None` below two blocks, or if one is not positive.
#[must_use]
pub fn drift(blocks: &[f64]) -> Option<Drift> {
    let n = blocks.len() as f64;
    let (low, high) = blocks.iter().fold((f64::INFINITY, 0.0f64), |(low, high), b| (low.min(*b), high.max(*b)));
    if blocks.len() < 2 || !(low > 0.0 && high.is_finite()) {
        return None;
    }
    let mean = blocks.iter().sum::<f64>() / n;
    let middle = (n - 1.0) / 2.0;
    let place = |i: usize| i as f64 - middle;
    let squares: f64 = (0..blocks.len()).map(|i| place(i).powi(2)).sum();
    let slope = blocks.iter().enumerate().map(|(i, b)| place(i) * (b - mean)).sum::<f64>() / squares;
    let freedom = n - 2.0;
    let significant = freedom > 0.0 && {
        let rest: f64 = blocks.iter().enumerate().map(|(i, b)| (b - mean - slope * place(i)).powi(2)).sum();
        let error = (rest / freedom / squares).sqrt();
        let t95 = StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975));
        slope.abs() > t95 * error
    };
    Some(Drift { spread: high / low - 1.0, slope: slope / mean, significant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_drifts_and_a_flat_series_does_not() {
        let ramp = drift(&[100.0, 101.0, 102.01, 103.0]).expect("four blocks");
        assert!(ramp.significant && (ramp.slope - 1.001 / 101.502_5).abs() < 1e-4, "{ramp:?}");
        assert!((ramp.spread - 0.03).abs() < 1e-12);
        let flat = drift(&[100.0, 100.4, 99.8, 100.1]).expect("four blocks");
        assert!(!flat.significant, "{flat:?}");
    }

    #[test]
    fn one_block_and_a_block_of_nothing_tell_no_drift() {
        assert_eq!(drift(&[1.0]), None);
        assert_eq!(drift(&[1.0, 0.0, 1.0]), None);
    }

    #[test]
    fn a_slope_is_told_from_chance_exactly_where_the_t_test_says() {
        for (blocks, slope, spread, significant) in [
            (&[1.0, 2.0][..], 2.0 / 3.0, 1.0, false),
            (&[1.0, 2.0, 4.0], 4.5 / 7.0, 3.0, false),
            (&[5.0, 5.0, 5.0], 0.0, 0.0, false),
            // t = 1.73205 / e with one degree of freedom, where 12.7062 is the limit: e = 0.13631.
            (&[1.0, 2.135, 3.0], 1.0 / 2.045, 2.0, true),
            (&[1.0, 2.138, 3.0], 1.0 / 2.046, 2.0, false),
            (&[3.0, 2.135, 1.0], -1.0 / 2.045, 2.0, true),
            // t = 1.58114 / e with two, where 4.30265 is the limit: e = 0.36748.
            (&[1.365, 1.635, 2.635, 4.365], 0.4, 3.0 / 1.365, true),
            (&[1.37, 1.63, 2.63, 4.37], 0.4, 3.0 / 1.37, false),
        ] {
            let found = drift(blocks).expect("two blocks or more");
            assert!((found.slope - slope).abs() < 1e-12 && (found.spread - spread).abs() < 1e-12, "{found:?}");
            assert_eq!(found.significant, significant, "{blocks:?}");
        }
        for blocks in [&[][..], &[1.0, f64::INFINITY], &[-1.0, 1.0]] {
            assert_eq!(drift(blocks), None, "{blocks:?}");
        }
    }
}
