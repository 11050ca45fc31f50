//! Rotary positions: each pair of a head's elements is turned by an angle that grows with the position (Su et al. 2021, arXiv
//! 2104.09864, equation 15). An element's partner stands half a head further on, as in Hugging Face's `rotate_half`.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::real::{Real, by_type, dispatch, slices};
use super::{Gradients, Operation};

/// The cosines and sines of all angles: position p turns pair i by `p * theta^(-2 i / d_head)`.
#[derive(Debug)]
pub struct Angles {
    /// Positions of a sequence.
    positions: usize,
    /// Pairs of a head.
    pairs: usize,
    cos: Vec<f64>,
    sin: Vec<f64>,
}

impl Angles {
    /// Those of `positions` positions for heads of `d_head` elements.
    ///
    /// # Errors
    /// If a head has no pairs, or an element without a partner.
    pub fn new(positions: usize, d_head: usize, theta: f64) -> Result<Self> {
        if d_head == 0 || !d_head.is_multiple_of(2) {
            bail!("rotary positions turn pairs of elements, and heads have {d_head}");
        }
        let pairs = d_head / 2;
        let angle = |i: usize| (i / pairs) as f64 * theta.powf(-((i % pairs) as f64) / pairs as f64);
        let angles = 0..positions * pairs;
        let (cos, sin) = (angles.clone().map(|i| angle(i).cos()), angles.map(|i| angle(i).sin()));
        Ok(Self { positions, pairs, cos: cos.collect(), sin: sin.collect() })
    }

    /// Both tables, `(positions, pairs)` each.
    pub(super) fn tables(&self) -> ([usize; 2], &[f64], &[f64]) {
        ([self.positions, self.pairs], &self.cos, &self.sin)
    }
}

/// Turns each head of `[x]`, which is `(.., t, heads d_head)`.
pub(in crate::nn) struct Rotary(pub(in crate::nn) Arc<Angles>);

impl Rotary {
    /// Turns forward, or back by the same angles.
    fn turn<T: Real>(&self, x: &[T], t: usize, width: usize, back: bool) -> Vec<T> {
        let pairs = self.0.pairs;
        let sign = if back { -1.0 } else { 1.0 };
        let angles = self.0.cos.iter().zip(&self.0.sin).take(t * pairs);
        let angles: Vec<[T; 2]> = angles.map(|(cos, sin)| [T::of(*cos), T::of(sign * sin)]).collect();
        let mut y = vec![T::zero(); x.len()];
        y.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (y, x))| {
            let angles = &angles[row % t * pairs..][..pairs];
            dispatch(|| {
                for (y, x) in y.chunks_exact_mut(2 * pairs).zip(x.chunks_exact(2 * pairs)) {
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

    fn apply(&self, x: &Tensor, back: bool) -> Result<Tensor> {
        let (_, t, width) = x.dims3()?;
        if t > self.0.positions || width % (2 * self.0.pairs) != 0 {
            bail!("angles of {} positions and {} pairs for shape {:?}", self.0.positions, self.0.pairs, x.dims());
        }
        by_type!(x.dtype(), T => {
            let y = slices::<T, _, _>([x], |[x]| self.turn(x, t, width, back))?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }
}

impl Operation for Rotary {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        self.apply(&inputs[0], false)
    }

    /// A rotation's inverse is its transpose.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], self.apply(dy, true)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_position_turns_the_first_pair_by_one_radian() {
        let angles = Angles::new(3, 4, 10_000.0).expect("even");
        // Pair 1 turns by theta^(-2/4) = 0.01 a position.
        assert!((angles.sin[2] - 1f64.sin()).abs() < 1e-15 && (angles.sin[3] - 0.01f64.sin()).abs() < 1e-15);
        let x =
            Tensor::new(&[[[0f64; 4], [1.0, 0.0, 0.0, 0.0], [0.0; 4]]], &candle_core::Device::Cpu).expect("a tensor");
        let y = Operation::forward(&Rotary(Arc::new(angles)), &[x]).expect("fits");
        let y: Vec<f64> = y.flatten_all().and_then(|y| y.to_vec1()).expect("numbers");
        assert_eq!(y[4..8], [1f64.cos(), 0.0, 1f64.sin(), 0.0]);
    }

    #[test]
    fn an_element_without_a_partner_is_refused() {
        assert!(Angles::new(3, 5, 10_000.0).expect_err("odd").to_string().contains("heads have 5"));
    }
}
