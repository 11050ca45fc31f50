//! The number types that have fused CPU kernels, and loops over their slices.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};
use rayon::prelude::*;

use super::math;

/// Elements that one task of an element-wise loop handles.
const CHUNK: usize = 1 << 13;

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
    /// The elements of a storage of this type.
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
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

    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F32(values) = storage { Some(values) } else { None }
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

    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F64(values) = storage { Some(values) } else { None }
    }
}

/// Runs a loop with the widest vectors of this processor. What it calls must be inlined into it.
#[inline(always)]
pub(super) fn dispatch<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Calls `f` with the elements of contiguous tensors on the CPU.
pub(super) fn slices<T: Real, R, const N: usize>(tensors: [&Tensor; N], f: impl FnOnce([&[T]; N]) -> R) -> Result<R> {
    let locked = tensors.map(Tensor::storage_and_layout);
    let mut parts: [&[T]; N] = [&[]; N];
    for (part, (storage, layout)) in parts.iter_mut().zip(&locked) {
        *part = elements(storage, layout)?;
    }
    Ok(f(parts))
}

fn elements<'a, T: Real>(storage: &'a Storage, layout: &Layout) -> Result<&'a [T]> {
    let Storage::Cpu(cpu) = storage else { bail!("a fused CPU operation on another device") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&cpu.as_slice::<T>()?[start..end]),
        None => bail!("a fused operation needs contiguous tensors"),
    }
}

/// A vector of `n` elements, of which `write` writes those of each chunk of `chunk`; it gets the position of the first
/// and must write all.
fn written<T: Real>(n: usize, chunk: usize, write: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync) -> Vec<T> {
    let mut values = Vec::with_capacity(n);
    let room = &mut values.spare_capacity_mut()[..n];
    room.par_chunks_mut(chunk).enumerate().for_each(|(i, room)| write(i * chunk, room));
    // SAFETY: the capacity is at least `n`, and the callers in this file write every element of every chunk.
    #[expect(unsafe_code, reason = "zeros that would be overwritten cost as much as the loop itself")]
    unsafe {
        values.set_len(n);
    }
    values
}

/// `f` of each element.
pub(super) fn map<T: Real>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    written(x.len(), CHUNK, |first, room| {
        let x = &x[first..first + room.len()];
        dispatch(|| room.iter_mut().zip(x).for_each(|(y, x)| _ = y.write(f(*x))));
    })
}

/// `f` of each pair of elements.
pub(super) fn map2<T: Real>(x: &[T], y: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    assert_eq!(x.len(), y.len(), "elements in pairs");
    written(x.len(), CHUNK, |first, room| {
        let (x, y) = (&x[first..first + room.len()], &y[first..first + room.len()]);
        dispatch(|| room.iter_mut().zip(x).zip(y).for_each(|((z, x), y)| _ = z.write(f(*x, *y))));
    })
}

/// `f` of each three elements.
pub(super) fn map3<T: Real>(x: &[T], y: &[T], z: &[T], f: impl Fn(T, T, T) -> T + Sync) -> Vec<T> {
    assert!(x.len() == y.len() && y.len() == z.len(), "elements in threes");
    written(x.len(), CHUNK, |first, room| {
        let range = first..first + room.len();
        let inputs = x[range.clone()].iter().zip(&y[range.clone()]).zip(&z[range]);
        dispatch(|| room.iter_mut().zip(inputs).for_each(|(w, ((x, y), z))| _ = w.write(f(*x, *y, *z))));
    })
}

/// `f` of each element and its position.
pub(super) fn map_positions<T: Real>(x: &[T], f: impl Fn(usize, T) -> T + Sync) -> Vec<T> {
    written(x.len(), CHUNK, |first, room| {
        let x = &x[first..first + room.len()];
        dispatch(|| room.iter_mut().zip(x).enumerate().for_each(|(i, (y, x))| _ = y.write(f(first + i, *x))));
    })
}

/// `row`, `rows` times over.
pub(super) fn repeat<T: Real>(row: &[T], rows: usize) -> Vec<T> {
    let rows_a_task = CHUNK / row.len().max(1) + 1;
    written(rows * row.len(), rows_a_task * row.len().max(1), |_, room| {
        room.chunks_exact_mut(row.len()).for_each(|room| _ = room.write_copy_of_slice(row));
    })
}

/// Partial sums that a loop keeps, so that it need not add in order.
const LANES: usize = 16;

/// The sum of `f` over elements.
#[inline(always)]
pub(super) fn sum<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += f(*x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += f(*x));
    lanes.into_iter().sum()
}

/// The sum of products of pairs.
#[inline(always)]
pub(super) fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let ((x_chunks, x_rest), (y_chunks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [T::zero(); LANES];
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        lanes.iter_mut().zip(x.iter().zip(y)).for_each(|(lane, (x, y))| *lane += *x * *y);
    }
    lanes.iter_mut().zip(x_rest.iter().zip(y_rest)).for_each(|(lane, (x, y))| *lane += *x * *y);
    lanes.into_iter().sum()
}

/// The largest element.
#[inline(always)]
pub(super) fn max<T: Real>(x: &[T]) -> T {
    let larger = |a: T, b: T| if a > b { a } else { b };
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [T::neg_infinity(); LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane = larger(*lane, *x));
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(T::neg_infinity(), larger)
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
