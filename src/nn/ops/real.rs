//! The number types that have fused CPU kernels, and access to their tensors as slices.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};

use super::math;

/// f32 or f64.
pub(super) trait Real:
    WithDType + num_traits::Float + std::iter::Sum + std::ops::AddAssign + std::ops::MulAssign
{
    /// `e^x`.
    fn exponential(self) -> Self;
    /// The distribution function of the normal.
    fn normal_cdf(self) -> Self;
    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn exponential(self) -> Self {
        math::exp(self)
    }

    #[inline(always)]
    fn normal_cdf(self) -> Self {
        0.5 + 0.5 * math::erf(self * std::f32::consts::FRAC_1_SQRT_2)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
    fn of(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    #[inline(always)]
    fn exponential(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn normal_cdf(self) -> Self {
        0.5 * (1.0 + libm::erf(self * std::f64::consts::FRAC_1_SQRT_2))
    }

    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }
}

/// The elements of a contiguous tensor on the CPU.
pub(super) fn part<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let all = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!("a fused operation needs contiguous tensors"),
    }
}

/// Calls `f` with the elements of a contiguous tensor on the CPU.
pub(super) fn with_slice<T: Real, R>(x: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => f(part(cpu, layout)?),
        _ => bail!("a fused CPU operation on another device"),
    }
}

/// Runs `$body` with `$T` as the number type of `$storage`.
macro_rules! by_type {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("no fused kernel for {other:?}"),
        }
    };
}
pub(super) use by_type;
