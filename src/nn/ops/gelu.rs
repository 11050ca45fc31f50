//! GELU with its exact gradient. candle's own multiplies the density by 0.398942, which is off in the
//! seventh digit (candle-core 0.11.1, `backprop.rs`).

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

/// Elements that one task handles.
const CHUNK: usize = 1 << 13;

/// `x Phi(x)` with the distribution function of the normal, exact (Hendrycks and Gimpel 2016).
///
/// # Shapes
/// Any; result as x.
///
/// # Errors
/// If the dtype is not a float.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Gelu);
    }
    let phi = ((x * FRAC_1_SQRT_2)?.erf()? + 1.0)?;
    (x * 0.5)?.mul(&phi)
}

struct Gelu;
struct GeluGradient;

fn phi(x: f64) -> f64 {
    0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2))
}

#[expect(clippy::cast_possible_truncation, reason = "the constants of f32 arithmetic")]
fn phi32(x: f32) -> f32 {
    0.5 * (1.0 + libm::erff(x * FRAC_1_SQRT_2 as f32))
}

/// `Phi(x) + x phi(x)`.
fn slope(x: f64) -> f64 {
    phi(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

#[expect(clippy::cast_possible_truncation, reason = "the constants of f32 arithmetic")]
fn slope32(x: f32) -> f32 {
    phi32(x) + x * (-0.5 * x * x).exp() * (1.0 / (2.0 * PI).sqrt()) as f32
}

fn part<'a, T>(values: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("gelu needs a contiguous tensor"),
    }
}

fn map<T: Copy + Send + Sync>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    x.par_iter().with_min_len(CHUNK).map(|v| f(*v)).collect()
}

fn zip<T: Copy + Send + Sync>(x: &[T], dy: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    x.par_iter().with_min_len(CHUNK).zip(dy).map(|(x, dy)| f(*x, *dy)).collect()
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(map(part(x, layout)?, |x| x * phi32(x))),
            CpuStorage::F64(x) => CpuStorage::F64(map(part(x, layout)?, |x| x * phi(x))),
            CpuStorage::BF16(x) => {
                CpuStorage::BF16(map(part(x, layout)?, |x| bf16::from_f32(x.to_f32() * phi32(x.to_f32()))))
            }
            CpuStorage::F16(x) => {
                CpuStorage::F16(map(part(x, layout)?, |x| f16::from_f32(x.to_f32() * phi32(x.to_f32()))))
            }
            other => bail!("gelu of {:?}", other.dtype()),
        };
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.contiguous()?.apply_op2_no_bwd(&dy.contiguous()?, &GeluGradient)?))
    }
}

impl CustomOp2 for GeluGradient {
    fn name(&self) -> &'static str {
        "gelu gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, dy: &CpuStorage, ly: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = match (x, dy) {
            (CpuStorage::F32(x), CpuStorage::F32(dy)) => {
                CpuStorage::F32(zip(part(x, lx)?, part(dy, ly)?, |x, dy| dy * slope32(x)))
            }
            (CpuStorage::F64(x), CpuStorage::F64(dy)) => {
                CpuStorage::F64(zip(part(x, lx)?, part(dy, ly)?, |x, dy| dy * slope(x)))
            }
            (CpuStorage::BF16(x), CpuStorage::BF16(dy)) => {
                CpuStorage::BF16(zip(part(x, lx)?, part(dy, ly)?, |x, dy| {
                    bf16::from_f32(dy.to_f32() * slope32(x.to_f32()))
                }))
            }
            (CpuStorage::F16(x), CpuStorage::F16(dy)) => CpuStorage::F16(zip(part(x, lx)?, part(dy, ly)?, |x, dy| {
                f16::from_f32(dy.to_f32() * slope32(x.to_f32()))
            })),
            (x, _) => bail!("gelu gradient of {:?}", x.dtype()),
        };
        Ok((out, lx.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_of_the_tables() {
        // Phi(1) = 0.841344746..., Phi(-0.5) = 0.308537538...; density at 1: 0.241970725...
        assert!((phi(1.0) - 0.841_344_746_068_543).abs() < 1e-14);
        assert!((-0.5 * phi(-0.5) + 0.154_268_769_362_993).abs() < 1e-14);
        assert!((slope(1.0) - (0.841_344_746_068_543 + 0.241_970_724_519_143)).abs() < 1e-14);
    }
}
