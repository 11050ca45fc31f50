//! GELU and its exact gradient, one pass each.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::real::{Real, by_type, part, with_slice};

/// Elements that one task handles.
const CHUNK: usize = 1 << 13;

/// Shapes as in [`super::Ops::gelu`].
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelu)
}

struct Gelu;

/// The derivative, `Phi(x) + x phi(x)` with the density phi of the normal.
#[inline(always)]
fn slope<T: Real>(x: T) -> T {
    let density = (T::of(-0.5) * x * x).exponential() * T::of(0.398_942_280_401_432_7);
    x.normal_cdf() + x * density
}

fn forward<T: Real>(x: &[T]) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        pulp::Arch::new().dispatch(|| y.iter_mut().zip(x).for_each(|(y, x)| *y = *x * x.normal_cdf()));
    });
    y
}

fn backward<T: Real>(x: &[T], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::zero(); x.len()];
    dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK)).for_each(|((dx, x), dy)| {
        pulp::Arch::new().dispatch(|| {
            dx.iter_mut().zip(x).zip(dy).for_each(|((dx, x), dy)| *dx = *dy * slope(*x));
        });
    });
    dx
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(storage);
        let y = by_type!(dtype, T => <T as candle_core::WithDType>::to_cpu_storage_owned(forward(part::<T>(storage, layout)?)));
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let dx = by_type!(x.dtype(), T => with_slice::<T, _>(x, |values| with_slice::<T, _>(&dy, |dy| {
            Tensor::from_vec(backward(values, dy), x.shape(), x.device())
        })))?;
        Ok(Some(dx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_of_the_tables() {
        // Phi(1) = 0.841344746..., Phi(-0.5) = 0.308537538...; density at 1: 0.241970725...
        assert!((1f64.normal_cdf() - 0.841_344_746_068_543).abs() < 1e-14);
        assert!((forward(&[-0.5f64])[0] + 0.154_268_769_362_993).abs() < 1e-14);
        assert!((slope(1f64) - (0.841_344_746_068_543 + 0.241_970_724_519_143)).abs() < 1e-14);
        assert!((slope(1f32) - 1.083_315_5).abs() < 1e-6);
    }
}
