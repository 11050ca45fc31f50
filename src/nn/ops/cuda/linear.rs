//! A linear with its bias, which is added before the result is rounded.

use candle_core::{DType, Result, Shape, Tensor};

use super::Kernels;
use super::bias_product::product_with_bias;
use super::elementwise::{cast, copy_or_cast, padded};
use super::launch::{Argument, Grid, device, empty, launch, suffix, tensor};
use super::product::{Matrix, product};
use crate::nn::ops::Gradients;
use crate::nn::ops::linear::{Linear, shapes};

/// What the result is written to, and its columns with those that are computed beyond `out`: rows are that long where the
/// result is a matrix.
fn result(x: &Tensor, (rows, out): (usize, usize), shape: Shape) -> Result<(Tensor, usize)> {
    let computed = padded(out);
    if computed == out || shape.rank() != 2 {
        return Ok((empty(shape, x.dtype(), x)?, out));
    }
    Ok((empty((rows, computed), x.dtype(), x)?.narrow(1, 0, out)?, computed))
}

impl Kernels for Linear {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, b) = (&inputs[0], inputs.get(2));
        let (rows, columns, out, shape) = shapes(inputs)?;
        let w = copy_or_cast(self.copies[0].as_ref(), &inputs[1], x.dtype())?;
        let (y, stride) = result(x, (rows, out), shape)?;
        // Rows of zeros behind a weight give zeros, which cost less than a product of odd sides.
        let computed = stride.min(w.dim(0)?);
        let y_m = Matrix::of_rows(&y, rows, out)?.first_columns(computed);
        if let Some(b) = b {
            let b = copy_or_cast(self.copies[1].as_ref(), b, x.dtype())?;
            let factors = [Matrix::new(x, rows, columns)?, Matrix::new(&w, computed, columns)?];
            if b.elem_count() >= computed && product_with_bias(y_m, factors, &b)? {
                return Ok(y);
            }
            // Otherwise the result begins as the bias, in as many columns as there are stored.
            let (b, n) = (cast(&b, DType::F32)?, rows * stride);
            let name = format!("repeat_{}", suffix(x.dtype())?);
            let arguments = [tensor(&b)?, Argument::Address(y_m.address), n.into(), stride.into(), out.into()];
            launch(device(x)?, &name, Grid::of_elements(n), &arguments)?;
        }
        let factors = [Matrix::new(x, rows, columns)?, Matrix::new(&w, computed, columns)?.t()];
        product(x, y_m, factors, 1, 1.0, b.is_some())?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, w) = (&inputs[0], &inputs[1]);
        let (rows, columns, out, _) = shapes(inputs)?;
        let w_copy = copy_or_cast(self.copies[0].as_ref(), w, x.dtype())?;
        let dy_m = Matrix::of_rows(dy, rows, out)?;
        // Long rows end in zeros, and so does the weight: what they add is nothing.
        let computed = dy_m.row_stride.min(w_copy.dim(0)?);
        let dy_m = dy_m.first_columns(computed);
        gradients.product_on_cuda(x, [dy_m, Matrix::new(&w_copy, computed, columns)?], 1)?;
        gradients.product_on_cuda(w, [dy_m.t(), Matrix::new(x, rows, columns)?], 1)?;
        match inputs.get(2) {
            Some(b) if gradients.wants(b) => gradients.add_column_sums(b, dy),
            _ => Ok(()),
        }
    }
}
