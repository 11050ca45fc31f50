//! Layer norm, alone or after a dropped-out branch and its residual; the sum is recomputed backward.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::dropout::Dropout;
use super::real::{Real, by_type, dispatch, dot, map_positions, slices, sum};
use super::{Gradients, Operation};

/// Rows that one task handles.
const ROWS: usize = 32;

/// The norm of `[x, gain, bias]`, or of `residual + dropout(x)` in `[x, gain, bias, residual]`.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct LayerNorm {
    pub(in crate::nn) eps: f64,
    pub(in crate::nn) dropout: Dropout,
}

/// What is normalised: x dropped out, and the residual if there is one.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    x: &'a [T],
    residual: Option<&'a [T]>,
    d: usize,
}

/// Checks the shapes; rows and width.
pub(super) fn shapes(inputs: &[Tensor]) -> Result<(usize, usize)> {
    let (x, gain, bias) = (&inputs[0], &inputs[1], &inputs[2]);
    let d = gain.elem_count();
    let fits = x.dims().last() == Some(&d) && gain.dims() == [d] && bias.dims() == [d];
    if !fits || inputs.get(3).is_some_and(|r| r.dims() != x.dims()) {
        bail!("a layer norm of width {d} on shape {:?}", x.dims());
    }
    Ok((x.elem_count() / d.max(1), d))
}

impl LayerNorm {
    /// The row whose first element is the `first` of the tensor.
    #[inline(always)]
    fn row<T: Real>(self, sum: &mut [T], rows: Rows<'_, T>, first: usize) {
        sum.copy_from_slice(&rows.x[first..first + rows.d]);
        self.dropout.apply(sum, first);
        if let Some(residual) = rows.residual {
            sum.iter_mut().zip(&residual[first..first + rows.d]).for_each(|(s, r)| *s += *r);
        }
    }

    /// Subtracts the mean of a row and divides by its standard deviation; 1 / standard deviation.
    #[inline(always)]
    fn normalise<T: Real>(self, row: &mut [T]) -> T {
        let n = T::of(row.len() as f64);
        let mean = sum(row, |x| x) / n;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
        let inverse = T::one() / (variance + T::of(self.eps)).sqrt();
        row.iter_mut().for_each(|x| *x = (*x - mean) * inverse);
        inverse
    }

    fn forward<T: Real>(self, rows: Rows<'_, T>, gain: &[T], bias: &[T]) -> Vec<T> {
        let d = rows.d;
        let mut y = vec![T::zero(); rows.x.len()];
        y.par_chunks_mut(ROWS * d).enumerate().for_each(|(task, y)| {
            dispatch(|| {
                for (row, y) in y.chunks_exact_mut(d).enumerate() {
                    self.row(y, rows, (task * ROWS + row) * d);
                    self.normalise(y);
                    y.iter_mut().zip(gain).zip(bias).for_each(|((y, g), b)| *y = *y * *g + *b);
                }
            });
        });
        y
    }

    /// Gradients of the sum, of gain and of bias: with u = dy gain and h = (x - mean) / sd,
    /// `dx = (u - mean(u) - h mean(u h)) / sd`, `dgain = sum(dy h)`, `dbias = sum(dy)`.
    fn backward<T: Real>(self, rows: Rows<'_, T>, gain: &[T], dy: &[T]) -> [Vec<T>; 3] {
        let d = rows.d;
        let n = T::of(d as f64);
        let mut dx = vec![T::zero(); rows.x.len()];
        let partial: Vec<[Vec<T>; 2]> = dx
            .par_chunks_mut(ROWS * d)
            .enumerate()
            .map(|(task, dx)| {
                let (mut dgain, mut dbias) = (vec![T::zero(); d], vec![T::zero(); d]);
                let mut u = vec![T::zero(); d];
                dispatch(|| {
                    for (row, h) in dx.chunks_exact_mut(d).enumerate() {
                        let first = (task * ROWS + row) * d;
                        self.row(h, rows, first);
                        let inverse = self.normalise(h);
                        let dy = &dy[first..first + d];
                        u.iter_mut().zip(dy).zip(gain).for_each(|((u, dy), gain)| *u = *dy * *gain);
                        dgain.iter_mut().zip(dy).zip(&*h).for_each(|((dgain, dy), h)| *dgain += *dy * *h);
                        dbias.iter_mut().zip(dy).for_each(|(dbias, dy)| *dbias += *dy);
                        let (mean_u, mean_uh) = (sum(&u, |u| u) / n, dot(&u, h) / n);
                        h.iter_mut().zip(&u).for_each(|(h, u)| *h = (*u - mean_u - *h * mean_uh) * inverse);
                    }
                });
                [dgain, dbias]
            })
            .collect();
        let (mut dgain, mut dbias) = (vec![T::zero(); d], vec![T::zero(); d]);
        for [gain, bias] in partial {
            dgain.iter_mut().zip(gain).for_each(|(sum, x)| *sum += x);
            dbias.iter_mut().zip(bias).for_each(|(sum, x)| *sum += x);
        }
        [dx, dgain, dbias]
    }
}

impl Operation for LayerNorm {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, gain, bias) = (&inputs[0], &inputs[1], &inputs[2]);
        let residual = inputs.get(3);
        let (_, d) = shapes(inputs)?;
        by_type!(x.dtype(), T => {
            // Without a residual, x stands in for it, unused.
            let y = slices::<T, _, _>([x, gain, bias, residual.unwrap_or(x)], |[x, gain, bias, r]| {
                Self::forward(*self, Rows { x, residual: residual.map(|_| r), d }, gain, bias)
            })?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, gain, residual) = (&inputs[0], &inputs[1], inputs.get(3));
        by_type!(x.dtype(), T => {
            let [dsum, dgain, dbias] = slices::<T, _, _>([x, gain, dy, residual.unwrap_or(x)], |[x, gain, dy, r]| {
                Self::backward(*self, Rows { x, residual: residual.map(|_| r), d: gain.len() }, gain, dy)
            })?;
            gradients.add(gain, dgain)?;
            gradients.add(&inputs[2], dbias)?;
            match residual {
                Some(residual) => {
                    let mask = self.dropout.mask::<T>();
                    gradients.add(x, map_positions(&dsum, |i, dx| mask.of(i, dx)))?;
                    gradients.add(residual, dsum)
                }
                None => gradients.add(x, dsum),
            }
        })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
