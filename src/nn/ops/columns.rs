//! Some columns of what a fused linear computed.

use std::ops::Range;

use candle_core::{D, Result, Tensor, bail};
use rayon::prelude::*;

use super::real::{Real, by_type, slices};
use super::{Gradients, Operation};

/// These columns of `[x]`, as a tensor of their own.
pub(in crate::nn) struct Columns(pub(in crate::nn) Range<usize>);

impl Operation for Columns {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].narrow(D::Minus1, self.0.start, self.0.len())?.contiguous()
    }

    /// Adds to the same columns of the gradient for x.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let x = &inputs[0];
        let (width, Range { start, end }) = (x.dim(D::Minus1)?, self.0.clone());
        if !dy.device().is_cpu() {
            bail!("a fused CPU operation on another device");
        }
        by_type!(dy.dtype(), T => slices::<T, _, _>([dy], |[dy]| gradients.edit::<T>(x, |dx| {
            dx.par_chunks_mut(width).zip(dy.par_chunks(end - start)).for_each(|(dx, dy)| add(&mut dx[start..end], dy));
        }))?)
    }
}

fn add<T: Real>(sum: &mut [T], x: &[T]) {
    sum.iter_mut().zip(x).for_each(|(s, x)| *s += *x);
}
