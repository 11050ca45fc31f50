//! Dropout whose mask is recomputed from a seed and never stored.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

use super::real::Real;

/// Elements that one task handles.
const CHUNK: usize = 1 << 14;

/// Sets each element to 0 with probability `p` and divides the others by `1 - p` (Srivastava et al. 2014).
///
/// The element at position i is dropped according to a hash of the seed and i, so forward and backward agree, and
/// every step, layer and place can have a mask of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability of a zero.
    pub p: f64,
    /// Seed of the mask.
    pub seed: u64,
}

impl Dropout {
    /// No dropout.
    pub const NONE: Self = Self { p: 0.0, seed: 0 };

    /// What survivors are multiplied by.
    pub(super) fn scale(self) -> f64 {
        1.0 / (1.0 - self.p)
    }

    /// Whether the element at `i` survives: 32 mixed bits (Murmur3's finaliser over the position, Appleby 2011)
    /// against a threshold.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hashing bits")]
    pub(super) fn keeps(self, i: usize) -> bool {
        let mut h = (self.seed as u32) ^ (self.seed >> 32) as u32 ^ (i as u32).wrapping_mul(0x9e37_79b9);
        h = h.wrapping_add(((i >> 32) as u32).wrapping_mul(0x85eb_ca6b));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        h >= (self.p * 4_294_967_296.0) as u32
    }

    /// Drops out of `values`, the first of which stands at position `first`.
    #[inline(always)]
    pub(super) fn apply<T: Real>(self, values: &mut [T], first: usize) {
        if self.p <= 0.0 {
            return;
        }
        let scale = T::of(self.scale());
        for (i, value) in values.iter_mut().enumerate() {
            *value *= if self.keeps(first + i) { scale } else { T::zero() };
        }
    }

    fn map<T: Copy + Send + Sync>(self, x: &[T], zero: T, scale: impl Fn(T) -> T + Sync) -> Vec<T> {
        let mut out = vec![zero; x.len()];
        out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (out, x))| {
            for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
                if self.keeps(chunk * CHUNK + i) {
                    *out = scale(*x);
                }
            }
        });
        out
    }
}

/// Shapes as in [`super::Ops::dropout`].
pub(super) fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    if dropout.p <= 0.0 {
        return Ok(x.clone());
    }
    if !x.device().is_cpu() {
        // On a GPU the mask is drawn there; it is kept for the backward pass.
        let keep = Tensor::rand(0f32, 1f32, x.shape(), x.device())?.ge(dropout.p)?.to_dtype(x.dtype())?;
        return x.mul(&(keep * dropout.scale())?);
    }
    x.contiguous()?.apply_op1(dropout)
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("dropout needs a contiguous tensor") };
        let scale = self.scale();
        let scale32 = f32::of(scale);
        let out = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(self.map(&x[start..end], 0.0, |v| v * scale32)),
            CpuStorage::F64(x) => CpuStorage::F64(self.map(&x[start..end], 0.0, |v| v * scale)),
            CpuStorage::BF16(x) => {
                CpuStorage::BF16(self.map(&x[start..end], bf16::ZERO, |v| bf16::from_f32(v.to_f32() * scale32)))
            }
            CpuStorage::F16(x) => {
                CpuStorage::F16(self.map(&x[start..end], f16::ZERO, |v| f16::from_f32(v.to_f32() * scale32)))
            }
            other => bail!("dropout of {:?}", other.dtype()),
        };
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.contiguous()?.apply_op1_no_bwd(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn a_tenth_is_dropped_and_the_mean_is_kept() {
        let x = Tensor::ones((100, 1000), DType::F32, &Device::Cpu).expect("ones");
        for seed in [1, 2, 1 << 40] {
            let y = dropout(&x, Dropout { p: 0.1, seed }).expect("dropout");
            let y = y.flatten_all().expect("flat").to_vec1::<f32>().expect("f32");
            let dropped = y.iter().filter(|v| **v == 0.0).count();
            assert!((9_600..10_400).contains(&dropped), "{dropped} of 100000");
            assert!(y.iter().all(|v| *v == 0.0 || (*v - 1.0 / 0.9).abs() < 1e-6));
        }
    }

    #[test]
    fn neighbours_are_dropped_independently() {
        let mask = Dropout { p: 0.5, seed: 11 };
        for lag in [1usize, 2, 64, 768] {
            let both = (0..100_000).filter(|i| mask.keeps(*i) && mask.keeps(i + lag)).count();
            assert!((24_300..25_700).contains(&both), "lag {lag}: {both}");
        }
    }

    #[test]
    fn the_gradient_has_the_same_mask_and_another_seed_another_one() {
        let x = Var::ones((7, 13), DType::F64, &Device::Cpu).expect("ones");
        let y = dropout(&x, Dropout { p: 0.3, seed: 5 }).expect("dropout");
        let grads = y.sum_all().expect("sum").backward().expect("backward");
        let grad = grads.get(&x).expect("a gradient").to_vec2::<f64>().expect("f64");
        assert_eq!(grad, y.to_vec2::<f64>().expect("f64"));
        let other = dropout(&x, Dropout { p: 0.3, seed: 6 }).expect("dropout").to_vec2::<f64>().expect("f64");
        assert_ne!(grad, other);
    }
}
