//! The loss of a head in tiles of rows: each a linear, a cross-entropy, and what both are backward, while its logits are there.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::cross_entropy::{losses_of, mean_of, put_gradient};
use super::elementwise::{cast, copy_or_cast};
use super::launch::empty;
use super::product::{Matrix, product};
use crate::model::HeadTiles;
use crate::nn::ops::{Gradients, HeadLoss, Wanted};

impl Kernels for HeadLoss {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, w) = (&inputs[0], &inputs[1]);
        let ((rows, d), classes) = (x.dims2()?, w.dim(0)?);
        let tile = HeadTiles::Gpu.rows(rows, classes, x.dtype().size_in_bytes());
        let losses = empty(rows, DType::F32, x)?;
        let one = Tensor::ones((), DType::F32, x.device())?;
        let Wanted { x: of_x, weight: of_w, bias: of_b } = self.wanted;
        let w_copy = copy_or_cast(self.linear.copies[0].as_ref(), w, x.dtype())?;
        let dx = if of_x { Some(empty(x.shape(), x.dtype(), x)?) } else { None };
        // Those for w and b are added up over the tiles.
        let unwanted = [(1, of_w), (2, of_b)].into_iter().filter(|(_, is_wanted)| !is_wanted);
        let frozen = unwanted.filter_map(|(i, _)| Some(inputs.get(i)?.id())).collect();
        let mut gradients = Gradients::but_of(frozen);
        for first in (0..rows).step_by(tile) {
            let n = tile.min(rows - first);
            let (x, labels) = (x.narrow(0, first, n)?, self.labels.narrow(0, first, n)?);
            let inputs: Vec<Tensor> = std::iter::once(x.clone()).chain(inputs[1..].iter().cloned()).collect();
            let logits = Kernels::forward(&self.linear, &inputs)?;
            losses_of(&logits, &labels, &losses.narrow(0, first, n)?)?;
            if of_x || of_w || of_b {
                // In the place of the logits, which nobody needs any more.
                put_gradient((&logits, &labels), (&one, rows), &logits)?;
                if let Some(dx) = &dx {
                    let dlogits = Matrix::of_rows(&logits, n, classes)?;
                    // Long rows end in zeros, and so does the weight.
                    let computed = dlogits.row_stride.min(w_copy.dim(0)?);
                    let factors = [dlogits.first_columns(computed), Matrix::new(&w_copy, computed, d)?];
                    product(&x, Matrix::new(dx, rows, d)?.part(0, first, n), factors, 1, 1.0, false)?;
                }
                gradients.freeze(&x);
                Kernels::backward(&self.linear, &inputs, &logits, &mut gradients)?;
            }
        }
        gradients.finish_sums()?;
        let mut of = |i: usize| inputs.get(i).and_then(|input| gradients.take(input.id()));
        self.keep([dx, of(1), of(2)]);
        mean_of(&losses)
    }

    fn backward(&self, inputs: &[Tensor], dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        self.give(inputs, dloss, gradients, |gradient, upstream| {
            cast(&(cast(gradient, DType::F32)? * upstream)?, gradient.dtype())
        })
    }
}
