//! Layer norm, alone or after a dropped-out branch and its residual; the sum is recomputed backward.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::dropout::Dropout;
use super::real::{Real, by_type, part, with_slice};

/// Rows that one task handles.
const ROWS: usize = 32;

/// Shapes as in [`super::Ops::layer_norm`].
pub(super) fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&Tensor::stack(&[gain, bias], 0)?, LayerNorm { eps, dropout: Dropout::NONE })
}

/// Shapes as in [`super::Ops::add_norm`].
pub(super) fn add_norm(
    x: &Tensor,
    residual: &Tensor,
    gain: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Dropout,
) -> Result<Tensor> {
    let gain_and_bias = Tensor::stack(&[gain, bias], 0)?;
    x.contiguous()?.apply_op3(&residual.contiguous()?, &gain_and_bias, LayerNorm { eps, dropout })
}

#[derive(Debug, Clone, Copy)]
struct LayerNorm {
    eps: f64,
    dropout: Dropout,
}

impl LayerNorm {
    /// The row that is normalised: `residual + dropout(x)`, or x alone. `first` is the position of its first
    /// element in the tensor.
    fn sum<T: Real>(self, sum: &mut [T], x: &[T], residual: Option<&[T]>, first: usize) {
        sum.copy_from_slice(x);
        self.dropout.apply(sum, first);
        if let Some(residual) = residual {
            sum.iter_mut().zip(residual).for_each(|(s, r)| *s += *r);
        }
    }

    /// Mean and 1 / standard deviation of a row.
    fn moments<T: Real>(self, row: &[T]) -> (T, T) {
        let n = T::of(row.len() as f64);
        let mean = row.iter().copied().sum::<T>() / n;
        let variance = row.iter().map(|x| (*x - mean) * (*x - mean)).sum::<T>() / n;
        (mean, T::one() / (variance + T::of(self.eps)).sqrt())
    }

    fn forward<T: Real>(self, x: &[T], residual: Option<&[T]>, gain_and_bias: &[T]) -> Vec<T> {
        let d = gain_and_bias.len() / 2;
        let (gain, bias) = gain_and_bias.split_at(d);
        let mut y = vec![T::zero(); x.len()];
        y.par_chunks_mut(ROWS * d).enumerate().for_each(|(task, y)| {
            for (row, y) in y.chunks_exact_mut(d).enumerate() {
                let first = (task * ROWS + row) * d;
                self.sum(y, &x[first..first + d], residual.map(|r| &r[first..first + d]), first);
                let (mean, inverse) = self.moments(y);
                for ((y, g), b) in y.iter_mut().zip(gain).zip(bias) {
                    *y = (*y - mean) * inverse * *g + *b;
                }
            }
        });
        y
    }

    /// Gradients of the sum, and of gain and bias: with u = dy gain and h = (x - mean) / sd,
    /// `dx = (u - mean(u) - h mean(u h)) / sd`, `dgain = sum(dy h)`, `dbias = sum(dy)`.
    fn backward<T: Real>(self, x: &[T], residual: Option<&[T]>, gain_and_bias: &[T], dy: &[T]) -> (Vec<T>, Vec<T>) {
        let d = gain_and_bias.len() / 2;
        let gain = &gain_and_bias[..d];
        let mut dx = vec![T::zero(); x.len()];
        let partial: Vec<Vec<T>> = dx
            .par_chunks_mut(ROWS * d)
            .enumerate()
            .map(|(task, dx)| {
                let mut of_parameters = vec![T::zero(); 2 * d];
                let (dgain, dbias) = of_parameters.split_at_mut(d);
                let n = T::of(d as f64);
                for (row, dx) in dx.chunks_exact_mut(d).enumerate() {
                    let first = (task * ROWS + row) * d;
                    self.sum(dx, &x[first..first + d], residual.map(|r| &r[first..first + d]), first);
                    let (mean, inverse) = self.moments(dx);
                    let dy = &dy[first..first + d];
                    let (mut sum_u, mut sum_uh) = (T::zero(), T::zero());
                    for i in 0..d {
                        let h = (dx[i] - mean) * inverse;
                        let u = dy[i] * gain[i];
                        sum_u += u;
                        sum_uh += u * h;
                        dgain[i] += dy[i] * h;
                        dbias[i] += dy[i];
                        dx[i] = h;
                    }
                    let (mean_u, mean_uh) = (sum_u / n, sum_uh / n);
                    for i in 0..d {
                        dx[i] = (dy[i] * gain[i] - mean_u - dx[i] * mean_uh) * inverse;
                    }
                }
                of_parameters
            })
            .collect();
        let mut of_parameters = vec![T::zero(); 2 * d];
        for part in partial {
            of_parameters.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        (dx, of_parameters)
    }

    /// Gradients of x, of the residual, and of gain and bias.
    fn gradients(
        self,
        x: &Tensor,
        residual: Option<&Tensor>,
        gain_and_bias: &Tensor,
        dy: &Tensor,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let dy = dy.contiguous()?;
        let device = x.device();
        by_type!(x.dtype(), T => with_slice::<T, _>(x, |x_values| with_slice::<T, _>(gain_and_bias, |gb| with_slice::<T, _>(&dy, |dy| {
            let (dsum, dgb) = match residual {
                Some(r) => with_slice::<T, _>(r, |r| Ok(self.backward(x_values, Some(r), gb, dy)))?,
                None => self.backward(x_values, None, gb, dy),
            };
            let mut dx = dsum.clone();
            dx.par_chunks_mut(1 << 14).enumerate().for_each(|(i, dx)| self.dropout.apply(dx, i << 14));
            Ok((
                Tensor::from_vec(dx, x.shape(), device)?,
                Tensor::from_vec(dsum, x.shape(), device)?,
                Tensor::from_vec(dgb, gain_and_bias.shape(), device)?,
            ))
        }))))
    }
}

fn dtype(storage: &CpuStorage) -> DType {
    candle_core::backend::BackendStorage::dtype(storage)
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, gb: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = by_type!(dtype(x), T => <T as candle_core::WithDType>::to_cpu_storage_owned(self.forward(part::<T>(x, lx)?, None, part(gb, lg)?)));
        Ok((y, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, gb: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, _, dgb) = self.gradients(x, None, gb, dy)?;
        Ok((Some(dx), Some(dgb)))
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "dropout, residual and layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        residual: &CpuStorage,
        lr: &Layout,
        gb: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = by_type!(dtype(x), T => <T as candle_core::WithDType>::to_cpu_storage_owned(self.forward(part::<T>(x, lx)?, Some(part(residual, lr)?), part(gb, lg)?)));
        Ok((y, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        gb: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dresidual, dgb) = self.gradients(x, Some(residual), gb, dy)?;
        Ok((Some(dx), Some(dresidual), Some(dgb)))
    }
}
