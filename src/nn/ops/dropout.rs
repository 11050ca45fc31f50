//! Dropout whose mask is recomputed from a seed and never stored.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, map_positions, slices};
use super::{Gradients, Operation};

/// Sets each element to 0 with probability `p` and divides the others by `1 - p` (Srivastava et al. 2014).
///
/// The element at position i is dropped according to a hash of the seed and i, so forward and backward agree, and
/// every step, layer and place can have a mask of its own. The hash decides two positions, by 15 bits each: `p` is rounded
/// to a multiple of 2^-15.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability of a zero.
    pub p: f64,
    /// Seed of the mask.
    pub seed: u64,
}

/// One more than the largest number by which a position is decided.
const HALF_RANGE: u32 = 1 << 15;

impl Dropout {
    /// No dropout.
    pub const NONE: Self = Self { p: 0.0, seed: 0 };

    /// The mask for numbers of one type.
    pub(super) fn mask<T: Real>(self) -> Mask<T> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hashing bits")]
        Mask {
            seed: (self.seed as u32) ^ (self.seed >> 32) as u32,
            threshold: (self.p * f64::from(HALF_RANGE)).round() as u32,
            scale: T::of(1.0 / (1.0 - self.p)),
        }
    }

    /// Drops out of `values`, the first of which stands at position `first`.
    #[inline(always)]
    pub(super) fn apply<T: Real>(self, values: &mut [T], first: usize) {
        if self.p <= 0.0 {
            return;
        }
        let mask = self.mask::<T>();
        for (i, value) in values.iter_mut().enumerate() {
            *value = mask.of(first + i, *value);
        }
    }

    /// 0 or what survivors are multiplied by, for each of `n` positions.
    #[must_use]
    pub(super) fn factors<T: Real>(self, n: usize) -> Vec<T> {
        let mut factors = vec![T::one(); n];
        self.apply(&mut factors, 0);
        factors
    }
}

/// Which positions survive.
#[derive(Clone, Copy)]
pub(super) struct Mask<T> {
    seed: u32,
    threshold: u32,
    scale: T,
}

impl<T: Real> Mask<T> {
    /// Seed, what is added to both numbers of a hash so that those of survivors reach 2^15, and what survivors are
    /// multiplied by.
    #[cfg(feature = "cuda")]
    pub(super) fn parts(self) -> (u32, u32, T) {
        (self.seed, (HALF_RANGE - self.threshold) * 0x1_0001, self.scale)
    }

    /// Whether position `i` survives: 15 bits of a hash against a threshold. Of 16 positions from a multiple of 16 on, those
    /// 8 apart share a hash, of which the first has the lower half: a GPU's matrix units hold such pairs in one thread. The
    /// pairs are numbered in order, and the hash is Murmur3's finaliser (Appleby 2011) over the number. Positions 2^33 apart
    /// share their fate.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "hashing bits")]
    fn keeps(self, i: usize) -> bool {
        let pair = ((i >> 1) as u32 & !7) | (i as u32 & 7);
        let mut h = self.seed ^ pair.wrapping_mul(0x9e37_79b9);
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        (h >> ((i as u32 & 8) * 2)) & (HALF_RANGE - 1) >= self.threshold
    }

    /// The value at position `i` after dropout.
    #[inline(always)]
    pub(super) fn of(self, i: usize, value: T) -> T {
        value * if self.keeps(i) { self.scale } else { T::zero() }
    }
}

impl Operation for Dropout {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let x = &inputs[0];
        by_type!(x.dtype(), T => {
            let mask = self.mask::<T>();
            let y = slices::<T, _, _>([x], |[x]| map_positions(x, |i, x| mask.of(i, x)))?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        by_type!(dy.dtype(), T => {
            let mask = self.mask::<T>();
            let dx = slices::<T, _, _>([dy], |[dy]| map_positions(dy, |i, dy| mask.of(i, dy)))?;
            gradients.add(&inputs[0], dx)
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
    fn a_tenth_is_dropped_and_the_mean_is_kept() {
        for seed in [1, 2, 1 << 40] {
            let factors = Dropout { p: 0.1, seed }.factors::<f32>(100_000);
            let dropped = factors.iter().filter(|v| **v == 0.0).count();
            assert!((9_600..10_400).contains(&dropped), "{dropped} of 100000");
            assert!(factors.iter().all(|v| *v == 0.0 || (*v - 1.0 / 0.9).abs() < 1e-6));
        }
    }

    #[test]
    fn neighbours_are_dropped_independently() {
        let factors = Dropout { p: 0.5, seed: 11 }.factors::<f32>(101_000);
        for lag in [1usize, 2, 8, 16, 64, 768] {
            let both = (0..100_000).filter(|i| factors[*i] > 0.0 && factors[i + lag] > 0.0).count();
            assert!((24_300..25_700).contains(&both), "lag {lag}: {both}");
        }
    }

    #[test]
    fn another_seed_is_another_mask() {
        let [five, six] = [5, 6].map(|seed| Dropout { p: 0.3, seed }.factors::<f32>(1000));
        assert_ne!(five, six);
    }
}
