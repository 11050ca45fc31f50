//! Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467, equation 4).

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, dispatch, dot, slices};
use super::{Gradients, Operation};

/// Rows that one task handles.
const ROWS: usize = 32;

/// `x / sqrt(mean(x^2) + eps) * gain` of `[x, gain]`, over the last axis.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct RmsNorm {
    pub(in crate::nn) eps: f64,
}

impl RmsNorm {
    /// 1 / the root mean square of a row.
    #[inline(always)]
    fn inverse<T: Real>(self, row: &[T]) -> T {
        T::one() / (dot(row, row) / T::of(row.len() as f64) + T::of(self.eps)).sqrt()
    }

    fn forward<T: Real>(self, x: &[T], gain: &[T]) -> Vec<T> {
        let d = gain.len();
        let mut y = vec![T::zero(); x.len()];
        y.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).for_each(|(y, x)| {
            dispatch(|| {
                for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let inverse = self.inverse(x);
                    y.iter_mut().zip(x).zip(gain).for_each(|((y, x), g)| *y = *x * inverse * *g);
                }
            });
        });
        y
    }

    /// Gradients of x and of gain: with u = dy gain and h = x / rms, `dx = (u - h mean(u h)) / rms`, `dgain = sum(dy h)`.
    fn backward<T: Real>(self, x: &[T], gain: &[T], dy: &[T]) -> [Vec<T>; 2] {
        let d = gain.len();
        let n = T::of(d as f64);
        let mut dx = vec![T::zero(); x.len()];
        let chunks = dx.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).zip(dy.par_chunks(ROWS * d));
        let partial: Vec<Vec<T>> = chunks
            .map(|((dx, x), dy)| {
                let mut dgain = vec![T::zero(); d];
                dispatch(|| {
                    for ((u, x), dy) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(dy.chunks_exact(d)) {
                        let inverse = self.inverse(x);
                        u.iter_mut().zip(dy).zip(gain).for_each(|((u, dy), g)| *u = *dy * *g);
                        let along = dot(u, x) * inverse * inverse / n;
                        dgain.iter_mut().zip(dy).zip(x).for_each(|((sum, dy), x)| *sum += *dy * *x * inverse);
                        u.iter_mut().zip(x).for_each(|(u, x)| *u = (*u - *x * along) * inverse);
                    }
                });
                dgain
            })
            .collect();
        let mut dgain = vec![T::zero(); d];
        for part in partial {
            dgain.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        [dx, dgain]
    }
}

/// Rows and columns of x, after a check that gain has as many.
pub(super) fn shapes(inputs: &[Tensor]) -> Result<(usize, usize)> {
    let (x, gain) = (&inputs[0], &inputs[1]);
    if gain.rank() != 1 || x.dims().last() != Some(&gain.elem_count()) || gain.elem_count() == 0 {
        bail!("a norm of shape {:?} on shape {:?}", gain.dims(), x.dims());
    }
    Ok((x.elem_count() / gain.elem_count(), gain.elem_count()))
}

impl Operation for RmsNorm {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        shapes(inputs)?;
        let (x, gain) = (&inputs[0], &inputs[1]);
        by_type!(x.dtype(), T => {
            let y = slices::<T, _, _>([x, gain], |[x, gain]| Self::forward(*self, x, gain))?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, gain) = (&inputs[0], &inputs[1]);
        by_type!(x.dtype(), T => {
            let [dx, dgain] =
                slices::<T, _, _>([x, gain, dy], |[x, gain, dy]| Self::backward(*self, x, gain, dy))?;
            gradients.add(gain, dgain)?;
            gradients.add(x, dx)
        })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
