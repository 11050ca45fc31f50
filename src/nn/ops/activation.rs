//! Functions of each element and their exact gradients, one pass each.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, map, map2, slices};
use super::{Gradients, Operation};

/// A function of each element of `[x]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) enum Activation {
    /// `x Phi(x)`.
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
}

/// The derivative of GELU, `Phi(x) + x phi(x)` with the density phi of the normal.
#[inline(always)]
fn gelu_slope<T: Real>(x: T) -> T {
    let density = (T::of(-0.5) * x * x).exponential() * T::of(0.398_942_280_401_432_7);
    x.normal_cdf() + x * density
}

/// `1 - tanh(x)^2`.
#[inline(always)]
fn tanh_slope<T: Real>(x: T) -> T {
    T::one() - x.tanh() * x.tanh()
}

impl Operation for Activation {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let x = &inputs[0];
        by_type!(x.dtype(), T => {
            let y = slices::<T, _, _>([x], |[x]| match self {
                Self::Gelu => map(x, |x| x * x.normal_cdf()),
                Self::Tanh => map(x, T::tanh),
            })?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    /// dy times the slope at x.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let x = &inputs[0];
        by_type!(x.dtype(), T => {
            let dx = slices::<T, _, _>([x, dy], |[x, dy]| match self {
                Self::Gelu => map2(x, dy, |x, dy| dy * gelu_slope(x)),
                Self::Tanh => map2(x, dy, |x, dy| dy * tanh_slope(x)),
            })?;
            gradients.add(x, dx)
        })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_of_the_tables() {
        // Phi(1) = 0.841344746..., Phi(-0.5) = 0.308537538...; density at 1: 0.241970725...
        assert!((1f64.normal_cdf() - 0.841_344_746_068_543).abs() < 1e-14);
        assert!(((-0.5f64).normal_cdf() - 0.308_537_538_725_987).abs() < 1e-14);
        assert!((gelu_slope(1f64) - (0.841_344_746_068_543 + 0.241_970_724_519_143)).abs() < 1e-14);
        assert!((gelu_slope(1f32) - 1.083_315_5).abs() < 1e-6);
    }
}
