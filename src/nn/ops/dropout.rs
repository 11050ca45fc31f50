//! Dropout whose mask is recomputed from a seed and never stored.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

/// Elements that one task handles.
const CHUNK: usize = 1 << 14;

/// Sets each element to 0 with probability `p` and divides the others by `1 - p` (Srivastava et al. 2014).
/// The element at position i is dropped according to a hash of `seed` and i, so forward and backward agree
/// and every step, layer and place can have a mask of its own.
///
/// # Shapes
/// Any; result as x.
///
/// # Errors
/// If the dtype is not a float.
pub fn dropout(x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
    if p <= 0.0 {
        return Ok(x.clone());
    }
    if !x.device().is_cpu() {
        // On a GPU the mask is drawn there; it is kept for the backward pass.
        let keep = Tensor::rand(0f32, 1f32, x.shape(), x.device())?.ge(p)?.to_dtype(x.dtype())?;
        return x.mul(&(keep / (1.0 - p))?);
    }
    x.contiguous()?.apply_op1(Dropout { p, seed })
}

#[derive(Debug, Clone, Copy)]
struct Dropout {
    p: f64,
    seed: u64,
}

impl Dropout {
    /// Whether element `i` survives: a 64-bit mix (SplitMix64, Steele et al. 2014) against a threshold.
    fn keeps(self, i: u64) -> bool {
        let mut z = self.seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64 >= self.p
    }

    fn apply<T: Copy + Send + Sync>(self, x: &[T], zero: T, scale: impl Fn(T) -> T + Sync) -> Vec<T> {
        let mut out = vec![zero; x.len()];
        out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (out, x))| {
            let first = (chunk * CHUNK) as u64;
            for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
                if self.keeps(first + i as u64) {
                    *out = scale(*x);
                }
            }
        });
        out
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("dropout needs a contiguous tensor") };
        let inverse = 1.0 / (1.0 - self.p);
        #[expect(clippy::cast_possible_truncation, reason = "a factor near 1")]
        let inverse32 = inverse as f32;
        let out = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(self.apply(&x[start..end], 0.0, |v| v * inverse32)),
            CpuStorage::F64(x) => CpuStorage::F64(self.apply(&x[start..end], 0.0, |v| v * inverse)),
            CpuStorage::BF16(x) => {
                CpuStorage::BF16(self.apply(&x[start..end], bf16::ZERO, |v| bf16::from_f32(v.to_f32() * inverse32)))
            }
            CpuStorage::F16(x) => {
                CpuStorage::F16(self.apply(&x[start..end], f16::ZERO, |v| f16::from_f32(v.to_f32() * inverse32)))
            }
            other => bail!("dropout of {:?}", DType::as_str(&other.dtype())),
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
    use candle_core::{Device, Var};

    #[test]
    fn a_tenth_is_dropped_and_the_mean_is_kept() {
        let x = Tensor::ones((100, 1000), DType::F32, &Device::Cpu).expect("ones");
        let y = dropout(&x, 0.1, 1).expect("dropout").flatten_all().expect("flat").to_vec1::<f32>().expect("f32");
        let dropped = y.iter().filter(|v| **v == 0.0).count();
        assert!((9_500..10_500).contains(&dropped), "{dropped} of 100000");
        assert!(y.iter().all(|v| *v == 0.0 || (*v - 1.0 / 0.9).abs() < 1e-6));
    }

    #[test]
    fn the_gradient_has_the_same_mask_and_another_seed_another_one() {
        let x = Var::ones((7, 13), DType::F64, &Device::Cpu).expect("ones");
        let y = dropout(&x, 0.3, 5).expect("dropout");
        let grads = y.sum_all().expect("sum").backward().expect("backward");
        let grad = grads.get(&x).expect("a gradient").to_vec2::<f64>().expect("f64");
        assert_eq!(grad, y.to_vec2::<f64>().expect("f64"));
        let other = dropout(&x, 0.3, 6).expect("dropout").to_vec2::<f64>().expect("f64");
        assert_ne!(grad, other);
    }
}
