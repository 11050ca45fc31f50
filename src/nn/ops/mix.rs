//! A Linformer's projection: mixtures of the rows of each sequence (Wang et al. 2020, equation 7).

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::gemm::{Matrix, Threads, product};
use super::real::{by_type, slices};
use super::{Gradients, Operation};

/// `E[:, ..t] x` of `[e, x]` for each sequence: e `(k, n)` with n >= t, x `(b, t, d)`; result `(b, k, d)`.
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "on the CPU, weights have the type of x"))]
pub(in crate::nn) struct Mix {
    /// A copy of e in the type of x, if that is another and there is one.
    pub(in crate::nn) copy: Option<Tensor>,
}

/// b, t, d, k, n.
pub(super) fn shapes(e: &Tensor, x: &Tensor) -> Result<[usize; 5]> {
    let ((k, n), (b, t, d)) = (e.dims2()?, x.dims3()?);
    if t > n {
        bail!("a projection of {n} tokens on sequences of {t}");
    }
    Ok([b, t, d, k, n])
}

impl Operation for Mix {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (e, x) = (&inputs[0], &inputs[1]);
        let [b, t, d, k, n] = shapes(e, x)?;
        by_type!(x.dtype(), T => {
            let y = slices::<T, _, _>([e, x], |[e, x]| {
                let mut y = vec![T::default(); b * k * d];
                y.par_chunks_mut(k * d).zip(x.par_chunks(t * d)).for_each(|(y, x)| {
                    product(y, Matrix::strided(e, k, t, n), Matrix::new(x, t, d), 1.0, false, Threads::One);
                });
                y
            })?;
            Tensor::from_vec(y, (b, k, d), x.device())
        })
    }

    /// dE = sum over the sequences of dy x^T, dx = E^T dy.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (e, x) = (&inputs[0], &inputs[1]);
        let [_, t, d, k, n] = shapes(e, x)?;
        by_type!(x.dtype(), T => slices::<T, _, _>([e, x, dy], |[e_values, x_values, dy]| {
            gradients.edit::<T>(x, |dx| {
                dx.par_chunks_mut(t * d).zip(dy.par_chunks(k * d)).for_each(|(dx, dy)| {
                    let e = Matrix::strided(e_values, k, t, n).t();
                    product(dx, e, Matrix::new(dy, k, d), 1.0, true, Threads::One);
                });
            })?;
            let mut de = vec![T::default(); k * t];
            for (x, dy) in x_values.chunks_exact(t * d).zip(dy.chunks_exact(k * d)) {
                product(&mut de, Matrix::new(dy, k, d), Matrix::new(x, t, d).t(), 1.0, true, Threads::All);
            }
            gradients.edit::<T>(e, |sum| {
                for (sum, de) in sum.chunks_exact_mut(n).zip(de.chunks_exact(t)) {
                    sum.iter_mut().zip(de).for_each(|(s, e)| *s += *e);
                }
            })
        })?)
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
