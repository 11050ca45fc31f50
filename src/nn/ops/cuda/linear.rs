//! A linear with its bias, which is added before the result is rounded.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::bias_product::product_with_bias;
use super::elementwise::{cast, copy_or_cast};
use super::launch::{Argument, Grid, device, empty, launch, suffix, tensor};
use super::product::{Matrix, product};
use crate::nn::ops::Gradients;
use crate::nn::ops::linear::{Linear, shapes};

/// Results of so many columns and more begin each row where cuBLAS's fastest kernels can load it: at a multiple of 16 bytes.
/// BERT's 30522 logits are a multiple of four bytes, and their products took three times as long on an H200.
const WIDE: usize = 1024;
const ALIGNED: usize = 8;

/// What a wide result of two axes is written to; `None` if it needs no more than its columns.
fn with_long_rows(x: &Tensor, rows: usize, out: usize) -> Result<Option<Tensor>> {
    if out < WIDE || out.is_multiple_of(ALIGNED) || x.rank() != 2 {
        return Ok(None);
    }
    empty((rows, out.next_multiple_of(ALIGNED)), x.dtype(), x)?.narrow(1, 0, out).map(Some)
}

impl Kernels for Linear {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, b) = (&inputs[0], inputs.get(2));
        let (rows, columns, out, shape) = shapes(inputs)?;
        let w = copy_or_cast(self.copies[0].as_ref(), &inputs[1], x.dtype())?;
        let y = match with_long_rows(x, rows, out)? {
            Some(y) => y,
            None => empty(shape, x.dtype(), x)?,
        };
        let y_m = Matrix::of_rows(&y, rows, out)?;
        if let Some(b) = b {
            let factors = [Matrix::new(x, rows, columns)?, Matrix::new(&w, out, columns)?];
            if product_with_bias(y_m, factors, &copy_or_cast(self.copies[1].as_ref(), b, x.dtype())?)? {
                return Ok(y);
            }
            // Otherwise the result begins as the bias, in as many columns as there are stored.
            let (b, n, out) = (cast(b, DType::F32)?, rows * y_m.row_stride, y_m.row_stride);
            let name = format!("repeat_{}", suffix(x.dtype())?);
            let arguments = [tensor(&b)?, Argument::Address(y_m.address), n.into(), out.into(), b.elem_count().into()];
            launch(device(x)?, &name, Grid::of_elements(n), &arguments)?;
        }
        let factors = [Matrix::new(x, rows, columns)?, Matrix::new(&w, out, columns)?.t()];
        product(x, y_m, factors, 1, 1.0, b.is_some())?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, w) = (&inputs[0], &inputs[1]);
        let (rows, columns, out, _) = shapes(inputs)?;
        let dy_m = Matrix::of_rows(dy, rows, out)?;
        let w_copy = copy_or_cast(self.copies[0].as_ref(), w, x.dtype())?;
        gradients.product_on_cuda(x, [dy_m, Matrix::new(&w_copy, out, columns)?], 1)?;
        gradients.product_on_cuda(w, [dy_m.t(), Matrix::new(x, rows, columns)?], 1)?;
        match inputs.get(2) {
            Some(b) => gradients.add_column_sums(b, dy),
            None => Ok(()),
        }
    }
}
