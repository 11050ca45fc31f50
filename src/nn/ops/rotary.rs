//! Rotary positions: each pair of a head's elements is turned by an angle that grows with the position (Su et al. 2021, arXiv
//! 2104.09864, equation 15). An element's partner stands half of what is turned further on, as in Hugging Face's `rotate_half`. The
//! last elements of a head may stay as they are (Black et al. 2022, arXiv 2204.06745, section 2.1.1).

#[cfg(feature = "cuda")]
use candle_core::{DType, Device, Tensor};
use candle_core::{Result, bail};
use rayon::prelude::*;

use super::real::{Real, dispatch};

/// The cosines and sines of all angles, both multiplied by what queries and keys are multiplied by.
#[derive(Debug)]
pub struct Angles {
    /// Positions of a sequence.
    positions: usize,
    /// Pairs of a head that are turned.
    pairs: usize,
    /// Elements of a head.
    d_head: usize,
    cos: Vec<f64>,
    sin: Vec<f64>,
    /// Both tables where a GPU computes, from the first time on.
    #[cfg(feature = "cuda")]
    on_gpu: std::sync::OnceLock<[Tensor; 2]>,
}

impl Angles {
    /// Those of `positions` positions for heads of `d_head` elements: position p turns pair i by `p * rates[i]` and makes it `factor`
    /// times as long. Elements beyond the pairs stay as they are.
    ///
    /// # Errors
    /// If there are no pairs, or more than a head has.
    pub fn new(positions: usize, d_head: usize, (rates, factor): (&[f64], f64)) -> Result<Self> {
        let pairs = rates.len();
        if pairs == 0 || 2 * pairs > d_head {
            bail!("rotary positions turn pairs of elements: of heads of {d_head} they cannot turn {pairs} pairs");
        }
        let angle = |i: usize| (i / pairs) as f64 * rates[i % pairs];
        let angles = 0..positions * pairs;
        let cos = angles.clone().map(|i| factor * angle(i).cos());
        let sin = angles.map(|i| factor * angle(i).sin());
        Ok(Self {
            positions,
            pairs,
            d_head,
            cos: cos.collect(),
            sin: sin.collect(),
            #[cfg(feature = "cuda")]
            on_gpu: std::sync::OnceLock::new(),
        })
    }

    /// Both tables in f32 on the GPU of the model that they belong to, `(positions, pairs)` each.
    #[cfg(feature = "cuda")]
    pub(super) fn on_gpu(&self, device: &Device) -> Result<[Tensor; 2]> {
        if let Some(tables) = self.on_gpu.get().filter(|[cos, _]| cos.device().same_device(device)) {
            return Ok(tables.clone());
        }
        let table = |values: &[f64]| {
            let table = Tensor::from_slice(values, (self.positions, self.pairs), &Device::Cpu)?;
            table.to_dtype(DType::F32)?.to_device(device)
        };
        let tables = [table(&self.cos)?, table(&self.sin)?];
        Ok(self.on_gpu.get_or_init(|| tables).clone())
    }

    /// Elements of a head.
    pub(super) fn d_head(&self) -> usize {
        self.d_head
    }

    /// Elements of a head that are turned.
    #[cfg(feature = "cuda")]
    pub(super) fn turned(&self) -> usize {
        2 * self.pairs
    }

    /// Both tables, `(positions, pairs)` each.
    pub(super) fn tables(&self) -> ([usize; 2], &[f64], &[f64]) {
        ([self.positions, self.pairs], &self.cos, &self.sin)
    }
}

impl Angles {
    /// The heads of x, which is `(.., t, heads d_head)`, turned by their positions; or, with `back`, turned back, which is the
    /// gradient of turning.
    pub(super) fn turn<T: Real>(&self, x: &[T], (t, width): (usize, usize), back: bool) -> Vec<T> {
        let pairs = self.pairs;
        let sign = if back { -1.0 } else { 1.0 };
        let angles = self.cos.iter().zip(&self.sin).take(t * pairs);
        let angles: Vec<[T; 2]> = angles.map(|(cos, sin)| [T::of(*cos), T::of(sign * sin)]).collect();
        let mut y = vec![T::zero(); x.len()];
        y.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (y, x))| {
            let angles = &angles[row % t * pairs..][..pairs];
            dispatch(|| {
                for (y, x) in y.chunks_exact_mut(self.d_head).zip(x.chunks_exact(self.d_head)) {
                    let ((y, y_rest), (x, rest)) = (y.split_at_mut(2 * pairs), x.split_at(2 * pairs));
                    y_rest.copy_from_slice(rest);
                    let ((y_low, y_high), (low, high)) = (y.split_at_mut(pairs), x.split_at(pairs));
                    let pairs = y_low.iter_mut().zip(y_high).zip(low.iter().zip(high)).zip(angles);
                    for (((y_low, y_high), (low, high)), [cos, sin]) in pairs {
                        *y_low = *low * *cos - *high * *sin;
                        *y_high = *high * *cos + *low * *sin;
                    }
                }
            });
        });
        y
    }

    /// Checks that there are angles for sequences of `t` tokens and heads of `d_head` elements.
    pub(super) fn check(&self, t: usize, d_head: usize) -> Result<()> {
        if t > self.positions || d_head != self.d_head {
            bail!("angles of {} positions and heads of {} for {t} and {d_head}", self.positions, self.d_head);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_position_turns_the_first_pair_by_one_radian() {
        let angles = Angles::new(3, 4, (&[1.0, 0.01], 1.0)).expect("two pairs");
        assert!((angles.sin[2] - 1f64.sin()).abs() < 1e-15 && (angles.sin[3] - 0.01f64.sin()).abs() < 1e-15);
        let x = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let y = angles.turn(&x, (3, 4), false);
        assert_eq!(y[4..8], [1f64.cos(), 0.0, 1f64.sin(), 0.0]);
        let back = angles.turn(&y, (3, 4), true);
        assert!(back.iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-15));
        assert!(angles.check(3, 4).is_ok() && angles.check(4, 4).is_err() && angles.check(3, 2).is_err());
    }

    #[test]
    fn what_is_not_turned_stays() {
        let angles = Angles::new(2, 5, (&[1.0, 0.1], 1.0)).expect("two pairs");
        let x = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 7.0];
        let y = angles.turn(&x, (2, 5), false);
        assert_eq!(y[5..], [0.0, angles.cos[3], 0.0, angles.sin[3], 7.0]);
        assert_eq!(angles.turn(&y, (2, 5), true)[9], 7.0);
        assert!(angles.check(2, 5).is_ok() && angles.check(2, 4).is_err());
    }

    #[test]
    fn a_factor_makes_longer_what_is_turned_there_and_back() {
        let angles = Angles::new(2, 3, (&[0.3], 2.0)).expect("one pair");
        let y = angles.turn(&[1.0, 0.0, 5.0, 1.0, 0.0, 5.0], (2, 3), false);
        assert_eq!(y, [2.0, 0.0, 5.0, 2.0 * 0.3f64.cos(), 2.0 * 0.3f64.sin(), 5.0]);
        let back = angles.turn(&y, (2, 3), true);
        assert!((back[3] - 4.0).abs() < 1e-15 && back[4].abs() < 1e-15, "the gradient is twice as long too");
    }

    #[test]
    fn pairs_that_a_head_has_not_are_refused() {
        assert!(
            Angles::new(3, 5, (&[1.0; 3], 1.0)).expect_err("six").to_string().contains("heads of 5 they cannot turn 3")
        );
        assert!(Angles::new(3, 5, (&[], 1.0)).is_err());
    }
}
