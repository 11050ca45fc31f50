//! A mean whose interval allows for neighbouring steps that resemble each other.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Interval;

/// How many batches the steps are grouped into once there are enough of them.
const BATCHES: usize = 10;

/// A mean and its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard error of the mean, from the spread of the batch means.
    pub standard_error: f64,
    /// Degrees of freedom of that standard error.
    pub degrees_of_freedom: f64,
}

impl Mean {
    /// The 95 % interval by Student's t.
    #[must_use]
    pub fn interval(self) -> Interval {
        Interval::around(self.mean, self.t95() * self.standard_error)
    }

    fn t95(self) -> f64 {
        StudentsT::new(0.0, 1.0, self.degrees_of_freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975))
    }
}

/// The mean of `values` in the order in which they were measured, by non-overlapping batch means
/// (Law and Kelton, Simulation Modeling and Analysis, §9.5): ten batches, or one value a batch below
/// twenty values. Positive correlation between neighbours then widens the interval as it should. What correlation is
/// left between neighbouring batches is allowed for as that of a first-order autoregression.
///
/// `None` below two values: one measurement has no spread.
#[must_use]
pub fn batch_means(values: &[f64]) -> Option<Mean> {
    if values.len() < 2 {
        return None;
    }
    let batches = if values.len() < 2 * BATCHES { values.len() } else { BATCHES };
    let means: Vec<f64> = (0..batches)
        .map(|i| {
            let batch = &values[i * values.len() / batches..(i + 1) * values.len() / batches];
            batch.iter().sum::<f64>() / batch.len() as f64
        })
        .collect();
    let count = means.len() as f64;
    let grand = means.iter().sum::<f64>() / count;
    let variance = means.iter().map(|m| (m - grand).powi(2)).sum::<f64>() / (count - 1.0);
    let size = values.len() / batches;
    let missed = if size > 1 { missed_by_batches(lag1(values), size as f64, count) } else { 1.0 };
    Some(Mean {
        mean: values.iter().sum::<f64>() / values.len() as f64,
        standard_error: (variance / count * missed).sqrt(),
        degrees_of_freedom: count - 1.0,
    })
}

/// Correlation between neighbours, from 0 to 0.95.
pub(super) fn lag1(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if squares > 0.0 { (products / squares).clamp(0.0, 0.95) } else { 0.0 }
}

/// The variance of the mean of `batches` x `size` steps of an AR(1) process with correlation `r`, over what the spread
/// of its batch means says on average. With `V(m) = [(1 + r)/(1 - r) - 2 r (1 - r^m) / (m (1 - r)^2)] / m`, the
/// variance of a mean of m steps, batches of m show `(V(m) - V(n)) / (k - 1)` for `V(n)`.
fn missed_by_batches(r: f64, size: f64, batches: f64) -> f64 {
    let variance_of_mean = |m: f64| ((1.0 + r) / (1.0 - r) - 2.0 * r * (1.0 - r.powf(m)) / (m * (1.0 - r).powi(2))) / m;
    let whole = variance_of_mean(size * batches);
    whole * (batches - 1.0) / (variance_of_mean(size) - whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stream;

    #[test]
    fn three_values_have_the_textbook_t_interval() {
        // mean 2, sd 1, se 1/sqrt(3), t(0.975, 2) = 4.302653
        let interval = batch_means(&[1.0, 2.0, 3.0]).expect("three values").interval();
        assert!((interval.mid - 2.0).abs() < 1e-12);
        assert!((interval.high - 2.0 - 4.302_653 / 3f64.sqrt()).abs() < 1e-5);
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(batch_means(&[1.0]), None);
    }

    /// The share of 95 % intervals that hold the true mean, for 200 steps of an AR(1) process.
    fn coverage(lag1: f64) -> f64 {
        let trials = 2000;
        let mut normal = Stream::new(7, "coverage");
        let hits = (0..trials)
            .filter(|_| {
                let mut state = normal.standard_normal();
                let scale = (1.0 - lag1 * lag1).sqrt();
                let steps: Vec<f64> = (0..200)
                    .map(|_| {
                        state = lag1 * state + scale * normal.standard_normal();
                        1.0 + 0.01 * state
                    })
                    .collect();
                batch_means(&steps).expect("200 steps").interval().contains(1.0)
            })
            .count();
        hits as f64 / f64::from(trials)
    }

    #[test]
    fn batches_of_independent_steps_miss_nothing_and_of_correlated_ones_a_fifth() {
        assert!((missed_by_batches(0.0, 20.0, 10.0) - 1.0).abs() < 1e-12);
        // r = 0.8: V(20) = 0.3512, V(200) = 0.0440, 9 x 0.0440 / 0.3072
        assert!((missed_by_batches(0.8, 20.0, 10.0) - 1.289).abs() < 0.002);
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        assert!(coverage(0.0) >= 0.93, "independent steps: {}", coverage(0.0));
        assert!(coverage(0.5) >= 0.92, "lag-1 correlation 0.5: {}", coverage(0.5));
        assert!(coverage(0.8) >= 0.92, "lag-1 correlation 0.8: {}", coverage(0.8));
    }

    #[test]
    fn below_twenty_values_each_is_a_batch_and_from_there_on_ten_batches_share_them() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-7;
        // Pairs about 1 and about 3, by turns: neighbours do not resemble each other, and the means of the pairs have a
        // variance of 10/9.
        let apart: Vec<f64> = (0..10).flat_map(|i| [f64::from(i % 2 * 2) - 9.0, f64::from(i % 2 * 2) + 11.0]).collect();
        // The same means with both of a pair alike: a lag-1 correlation of 1/20, and with V(2) = 0.525 and
        // V(20) = 0.0549862 a variance larger by 9 x 0.0549862 / 0.4700138.
        let alike: Vec<f64> = (0..20).map(|i| f64::from(i / 2 % 2 * 2) + 1.0).collect();
        for (values, mean, standard_error, freedom) in [
            (&[1.0, 3.0][..], 2.0, 1.0, 1.0),
            // A variance of 4/3: what neighbours have in common is left out of batches of one.
            (&[1.0, 1.0, 3.0, 3.0], 2.0, 0.577_350_269, 3.0),
            // Ten 1 and nine 3: a variance of 20/19.
            (&alike[..19], 37.0 / 19.0, 0.235_375_577, 18.0),
            (&apart, 2.0, 1.0 / 3.0, 9.0),
            (&alike, 2.0, 0.342_035_617, 9.0),
        ] {
            let found = batch_means(values).expect("two values or more");
            assert!(close(found.mean, mean) && close(found.standard_error, standard_error), "{found:?}");
            assert_eq!(found.degrees_of_freedom, freedom);
        }
    }

    #[test]
    fn what_neighbours_have_in_common_and_what_batches_miss_of_it_are_as_worked_out_by_hand() {
        // About a mean of 3: squares 4 + 4 + 1 + 9, products 4 - 2 + 3.
        assert!((lag1(&[1.0, 1.0, 4.0, 6.0]) - 5.0 / 18.0).abs() < 1e-12);
        assert_eq!(lag1(&[5.0; 4]), 0.0, "no spread");
        // r = 1/2: V(2) = 3/4, V(4) = 33/64, V(6) = 25/64.
        assert!((missed_by_batches(0.5, 2.0, 2.0) - 2.2).abs() < 1e-12);
        assert!((missed_by_batches(0.5, 2.0, 3.0) - 50.0 / 23.0).abs() < 1e-12);
    }
}
