//! The hyperbolic tangent of the pooler; its gradient is taken from its result, which is computed again.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, map, map2, slices};
use super::{Gradients, Operation};

/// `tanh(x)` of `[x]`.
pub(in crate::nn) struct Tanh;

fn slope<T: Real>(x: T) -> T {
    T::one() - x.tanh() * x.tanh()
}

impl Operation for Tanh {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let x = &inputs[0];
        by_type!(x.dtype(), T => {
            let y = slices::<T, _, _>([x], |[x]| map(x, T::tanh))?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    /// `dx = dy (1 - tanh(x)^2)`.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let x = &inputs[0];
        by_type!(x.dtype(), T => {
            let dx = slices::<T, _, _>([x, dy], |[x, dy]| map2(x, dy, |x, dy| dy * slope(x)))?;
            gradients.add(x, dx)
        })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
