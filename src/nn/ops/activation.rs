//! Functions of each element and their exact gradients, one pass each.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, map, map2, map3, slices};
use super::{Gradients, Operation};

/// A function of each element of `[x]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) enum Activation {
    /// `x Phi(x)`.
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
    /// GELU with Phi by a hyperbolic tangent, `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))` (Hendrycks and Gimpel 2016, section 2).
    GeluTanh,
    /// `x sigmoid(x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
}

/// `sqrt(8 / pi)` and Hendrycks and Gimpel's cubic coefficient.
const TWICE_ROOT: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exponential())
}

/// What the sigmoid of [`Activation::GeluTanh`] is taken of, and its slope.
#[inline(always)]
fn inner<T: Real>(x: T) -> (T, T) {
    let (root, cubic) = (T::of(TWICE_ROOT), T::of(CUBIC));
    (root * x * (T::one() + cubic * x * x), root * (T::one() + T::of(3.0) * cubic * x * x))
}

impl Activation {
    /// The function's value.
    #[inline(always)]
    fn value<T: Real>(self, x: T) -> T {
        match self {
            Self::Gelu => x * x.normal_cdf(),
            Self::Tanh => x.tanh(),
            Self::GeluTanh => x * sigmoid(inner(x).0),
            Self::Silu => x * sigmoid(x),
            Self::Relu => {
                if x > T::zero() {
                    x
                } else {
                    T::zero()
                }
            }
        }
    }

    /// Its derivative.
    #[inline(always)]
    fn slope<T: Real>(self, x: T) -> T {
        match self {
            Self::Gelu => gelu_slope(x),
            Self::Tanh => tanh_slope(x),
            Self::GeluTanh => {
                let (of, slope) = inner(x);
                let s = sigmoid(of);
                s + x * s * (T::one() - s) * slope
            }
            Self::Silu => {
                let s = sigmoid(x);
                s + x * s * (T::one() - s)
            }
            Self::Relu => {
                if x > T::zero() {
                    T::one()
                } else {
                    T::zero()
                }
            }
        }
    }
}

/// Runs `$body` with `$f` as each kind of activation known to the compiler, so that its loop has no branch.
macro_rules! by_kind {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            Activation::Gelu => {
                const $f: Activation = Activation::Gelu;
                $body
            }
            Activation::Tanh => {
                const $f: Activation = Activation::Tanh;
                $body
            }
            Activation::GeluTanh => {
                const $f: Activation = Activation::GeluTanh;
                $body
            }
            Activation::Silu => {
                const $f: Activation = Activation::Silu;
                $body
            }
            Activation::Relu => {
                const $f: Activation = Activation::Relu;
                $body
            }
        }
    };
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
            let y = slices::<T, _, _>([x], |[x]| by_kind!(*self, F => map(x, |x| F.value(x))))?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    /// dy times the slope at x.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let x = &inputs[0];
        by_type!(x.dtype(), T => {
            let dx = slices::<T, _, _>([x, dy], |[x, dy]| by_kind!(*self, F => map2(x, dy, |x, dy| dy * F.slope(x))))?;
            gradients.add(x, dx)
        })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

/// `f(gate) up` of `[gate, up]`: the inner activation of a gated feed-forward block (Shazeer 2020, arXiv 2002.05202, equation 5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) struct Gate(pub(in crate::nn) Activation);

impl Operation for Gate {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (gate, up) = (&inputs[0], &inputs[1]);
        by_type!(gate.dtype(), T => {
            let y = slices::<T, _, _>([gate, up], |[gate, up]| {
                by_kind!(self.0, F => map2(gate, up, |gate, up| F.value(gate) * up))
            })?;
            Tensor::from_vec(y, gate.shape(), gate.device())
        })
    }

    /// `dup = dy f(gate)`, `dgate = dy up f'(gate)`.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (gate, up) = (&inputs[0], &inputs[1]);
        by_type!(gate.dtype(), T => {
            let [dgate, dup] = slices::<T, _, _>([gate, up, dy], |[gate, up, dy]| {
                by_kind!(self.0, F => [
                    map3(gate, up, dy, |gate, up, dy| dy * up * F.slope(gate)),
                    map2(gate, dy, |gate, dy| dy * F.value(gate)),
                ])
            })?;
            gradients.add(gate, dgate)?;
            gradients.add(up, dup)
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
        // sigmoid(1) = 0.731058578...; GELU by tanh at 1: 0.841191990...
        assert!((Activation::Silu.value(1f64) - 0.731_058_578_630_005).abs() < 1e-14);
        assert!((Activation::GeluTanh.value(1f64) - 0.841_191_990_608_3).abs() < 1e-12);
        assert_eq!([-2.0, 0.0, 3.0].map(|x: f64| Activation::Relu.value(x)), [0.0, 0.0, 3.0]);
        // Far out they are 0 and x, and not infinite.
        for f in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
            assert!(f.value(-1000f32).abs() < 1e-6 && (f.value(1000f32) - 1000.0).abs() < 1e-3, "{f:?}");
            assert!(f.slope(-1000f32).abs() < 1e-6 && (f.slope(1000f32) - 1.0).abs() < 1e-3, "{f:?}");
        }
    }

    #[test]
    fn slopes_agree_with_central_differences() {
        for f in [Activation::Gelu, Activation::Tanh, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
            for x in [-3.0, -0.7, 0.2, 1.5f64] {
                let numeric = (f.value(x + 1e-6) - f.value(x - 1e-6)) / 2e-6;
                assert!((numeric - f.slope(x)).abs() < 1e-8, "{f:?} at {x}: {numeric}, {}", f.slope(x));
            }
        }
    }
}
