//! Least squares with prior knowledge: damped Gauss-Newton on a handful of parameters.

/// A symmetric, positive definite matrix as its lower Cholesky factor, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    n: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors `matrix` (n x n, row by row); `None` if it is not positive definite.
    #[must_use]
    pub fn new(matrix: &[f64], n: usize) -> Option<Self> {
        let mut lower = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
                let rest = matrix[i * n + j] - dot;
                lower[i * n + j] = if i == j {
                    if !(rest.is_finite() && rest > 0.0) {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / lower[j * n + j]
                };
            }
        }
        Some(Self { n, lower })
    }

    /// The rows of L up to the diagonal.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<f64>> {
        (0..self.n).map(|i| self.lower[i * self.n..=i * self.n + i].to_vec()).collect()
    }

    /// x of L x = b.
    #[must_use]
    pub fn forward(&self, b: &[f64]) -> Vec<f64> {
        let n = self.n;
        let mut x = vec![0.0; n];
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| self.lower[i * n + k] * x[k]).sum();
            x[i] = (b[i] - dot) / self.lower[i * n + i];
        }
        x
    }

    /// x of L' x = b.
    #[must_use]
    pub fn backward(&self, b: &[f64]) -> Vec<f64> {
        let n = self.n;
        let mut x = vec![0.0; n];
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| self.lower[k * n + i] * x[k]).sum();
            x[i] = (b[i] - dot) / self.lower[i * n + i];
        }
        x
    }

    /// x of L L' x = b.
    #[must_use]
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        self.backward(&self.forward(b))
    }
}

/// What is known of a parameter before any datum: a normal distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Its mean, and where the search begins.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
}

/// The most probable parameters and the precision they are known with.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The parameters.
    pub values: Vec<f64>,
    /// Factor of the precision matrix: J'WJ and the precision of the priors.
    pub precision: Cholesky,
}

impl Fit {
    /// The variance of a quantity whose gradient over the parameters is `gradient`.
    #[must_use]
    pub fn variance(&self, gradient: &[f64]) -> f64 {
        self.precision.forward(gradient).iter().map(|x| x * x).sum()
    }
}

/// Finds the parameters that minimise the sum of a robust function of the residuals and of the squared distances
/// to the priors. `residuals` gives each datum's residual over its standard deviation; those far out count as
/// 2 (sqrt(1 + z^2) - 1) instead of z^2, so that no single datum rules.
///
/// The search begins at `start`. `None` if it leaves the finite numbers.
#[must_use]
pub fn fit_robust(priors: &[Prior], start: &[f64], residuals: impl Fn(&[f64]) -> Vec<f64>) -> Option<Fit> {
    const STEP: f64 = 1e-5;
    let n = priors.len();
    let cost = |values: &[f64], z: &[f64]| -> f64 {
        let data: f64 = z.iter().map(|z| 2.0 * ((1.0 + z * z).sqrt() - 1.0)).sum();
        data + values.iter().zip(priors).map(|(x, p)| ((x - p.mean) / p.sd).powi(2)).sum::<f64>()
    };
    let mut values = start.to_vec();
    let mut z = residuals(&values);
    let mut lowest = cost(&values, &z);
    let mut damping = 1e-3;
    let mut normal = vec![0.0; n * n];
    for _ in 0..60 {
        let columns: Vec<Vec<f64>> = (0..n)
            .map(|j| {
                let mut moved = values.clone();
                moved[j] += STEP;
                residuals(&moved).iter().zip(&z).map(|(a, b)| (a - b) / STEP).collect()
            })
            .collect();
        let weights: Vec<f64> = z.iter().map(|z| 1.0 / (1.0 + z * z).sqrt()).collect();
        let mut gradient = vec![0.0; n];
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = columns[i].iter().zip(&columns[j]).zip(&weights).map(|((a, b), w)| a * b * w).sum();
                normal[i * n + j] = dot;
                normal[j * n + i] = dot;
            }
            normal[i * n + i] += priors[i].sd.powi(-2);
            let dot: f64 = columns[i].iter().zip(&z).zip(&weights).map(|((a, b), w)| a * b * w).sum();
            gradient[i] = dot + (values[i] - priors[i].mean) / priors[i].sd.powi(2);
        }
        let mut gained = 0.0;
        while damping < 1e9 {
            let mut damped = normal.clone();
            (0..n).for_each(|i| damped[i * n + i] *= 1.0 + damping);
            let step = Cholesky::new(&damped, n)?.solve(&gradient);
            let moved: Vec<f64> = values.iter().zip(&step).map(|(x, s)| x - s).collect();
            let moved_z = residuals(&moved);
            let moved_cost = cost(&moved, &moved_z);
            if moved_cost <= lowest {
                gained = lowest - moved_cost;
                (values, z, lowest) = (moved, moved_z, moved_cost);
                damping = (damping / 10.0).max(1e-9);
                break;
            }
            damping *= 10.0;
        }
        if gained < 1e-9 * lowest.max(1.0) {
            break;
        }
    }
    lowest.is_finite().then(|| Cholesky::new(&normal, n).map(|precision| Fit { values, precision }))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factored_matrix_solves_its_equations() {
        // [[4, 2], [2, 5]] x = [8, 12] has x = [1, 2]; its factor is [[2, 0], [1, 2]].
        let cholesky = Cholesky::new(&[4.0, 2.0, 2.0, 5.0], 2).expect("positive definite");
        assert_eq!(cholesky.solve(&[8.0, 12.0]), [1.0, 2.0]);
        assert!(Cholesky::new(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }

    #[test]
    fn a_mean_of_data_and_a_prior_is_weighted_by_their_precisions() {
        // Three data of 1.01 with standard deviation 1 and a prior of 1 with standard deviation 1 meet at 1.0075.
        let prior = Prior { mean: 1.0, sd: 1.0 };
        let fit = fit_robust(&[prior], &[1.0], |x| vec![x[0] - 1.01; 3]).expect("finite");
        assert!((fit.values[0] - 1.0075).abs() < 1e-6, "{:?}", fit.values);
        assert!((fit.variance(&[2.0]) - 1.0).abs() < 1e-3, "4 x 1/4");
    }

    #[test]
    fn one_datum_far_out_does_not_rule() {
        let data = [1.0, 1.1, 0.9, 1.05, 0.95, 60.0];
        let flat = Prior { mean: 0.0, sd: 1e3 };
        let fit = fit_robust(&[flat], &[0.0], |x| data.iter().map(|d| (x[0] - d) / 0.1).collect()).expect("finite");
        assert!((fit.values[0] - 1.0).abs() < 0.1, "{:?}", fit.values);
    }

    #[test]
    fn a_factor_of_three_rows_is_the_one_that_was_multiplied_out_by_hand() {
        let matrix = [4.0, 2.0, 8.0, 2.0, 10.0, 19.0, 8.0, 19.0, 77.0];
        let cholesky = Cholesky::new(&matrix, 3).expect("positive definite");
        assert_eq!(cholesky.rows(), [vec![2.0], vec![1.0, 3.0], vec![4.0, 5.0, 6.0]]);
        assert_eq!(cholesky.forward(&[2.0, 7.0, 32.0]), [1.0, 2.0, 3.0]);
        assert_eq!(cholesky.backward(&[16.0, 21.0, 18.0]), [1.0, 2.0, 3.0]);
        assert_eq!(cholesky.solve(&[32.0, 79.0, 277.0]), [1.0, 2.0, 3.0]);
        for (matrix, n) in [(&[1.0, 1.0, 1.0, 1.0][..], 2), (&[0.0], 1), (&[f64::INFINITY], 1), (&[f64::NAN], 1)] {
            assert_eq!(Cholesky::new(matrix, n), None, "{matrix:?}");
        }
    }

    #[test]
    fn a_datum_three_quarters_of_its_deviation_away_pulls_with_three_fifths() {
        // z = -3/4 has sqrt(1 + z^2) = 5/4: it pulls with 3/5, and weighs 4/5.
        // One parameter, 2 +- 3, and a datum of deviation 1/2: (x - 2) / 9 = 2 x 3/5.
        let fit = fit_robust(&[Prior { mean: 2.0, sd: 3.0 }], &[0.0], |x| vec![(x[0] - 13.175) / 0.5]).expect("finite");
        assert!((fit.values[0] - 12.8).abs() < 1e-4, "{:?}", fit.values);
        // 4 x 4/5 + 1/9.
        assert!((fit.variance(&[1.0]) - 1.0 / 3.311_111).abs() < 1e-4, "{:?}", fit.precision);
        // From the datum itself it goes back to where the two pulls meet: x = 3/5.
        let fit = fit_robust(&[Prior { mean: 0.0, sd: 1.0 }], &[1.35], |x| vec![x[0] - 1.35]).expect("finite");
        assert!((fit.values[0] - 0.6).abs() < 1e-4, "{:?}", fit.values);
        // Two parameters, both 0 +- 1, and one datum of x + 2 y: the precision is [[1.8, 1.6], [1.6, 4.2]].
        let priors = [Prior { mean: 0.0, sd: 1.0 }; 2];
        let fit = fit_robust(&priors, &[9.0, -7.0], |x| vec![x[0] + 2.0 * x[1] - 3.75]).expect("finite");
        assert!((fit.values[0] - 0.6).abs() < 1e-4 && (fit.values[1] - 1.2).abs() < 1e-4, "{:?}", fit.values);
        for (gradient, variance) in [([1.0, 0.0], 0.84), ([0.0, 1.0], 0.36), ([1.0, 1.0], 0.56)] {
            assert!((fit.variance(&gradient) - variance).abs() < 1e-4, "{gradient:?}: {}", fit.variance(&gradient));
        }
    }

    #[test]
    fn a_curve_is_followed_from_far_away_and_what_has_no_number_is_no_fit() {
        // From -3 the tangents of the curves lead beyond all numbers: exp(x) = 20 at 2.995732, exp(z) = 5 at 1.609438, and y
        // is what they lack of 10.
        let vague = [Prior { mean: 0.0, sd: 1e3 }; 3];
        let curves = |x: &[f64]| vec![(x[0].exp() - 20.0) / 0.01, (x[2].exp() - 5.0) / 0.01, x[0] + x[1] + x[2] - 10.0];
        let fit = fit_robust(&vague, &[-3.0, 0.0, -3.0], curves).expect("finite");
        for (found, expected) in fit.values.iter().zip([2.995_732, 5.394_830, 1.609_438]) {
            assert!((found - expected).abs() < 1e-4, "{:?}", fit.values);
        }
        // Deviations of 0.01 / 20 and 0.01 / 5.
        for (gradient, variance) in [([1.0, 0.0, 0.0], 2.5e-7), ([0.0, 1.0, 0.0], 1.000_004), ([0.0, 0.0, 1.0], 4e-6)] {
            assert!(
                (fit.variance(&gradient) / variance - 1.0).abs() < 1e-4,
                "{gradient:?}: {}",
                fit.variance(&gradient)
            );
        }
        // A prior of 10 +- 0.1 is far from where the search begins: (x - 10) / 0.01 = 3/5.
        let fit = fit_robust(&[Prior { mean: 10.0, sd: 0.1 }], &[0.0], |x| vec![x[0] - 10.756]).expect("finite");
        assert!((fit.values[0] - 10.006).abs() < 1e-5, "{:?}", fit.values);
        for nothing in [f64::NAN, f64::INFINITY] {
            assert_eq!(fit_robust(&vague, &[0.0; 3], |_| vec![nothing]), None);
        }
    }
}
