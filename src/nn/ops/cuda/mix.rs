//! A Linformer's projection: one batched product, whose matrix is the same for every sequence.

use candle_core::{Result, Tensor};

use super::Kernels;
use super::elementwise::{copy_or_cast, swap_axes};
use super::launch::empty;
use super::product::{Matrix, product};
use crate::nn::ops::Gradients;
use crate::nn::ops::mix::{Mix, shapes};

impl Kernels for Mix {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (e, x) = (&inputs[0], &inputs[1]);
        let [b, t, d, k, n] = shapes(e, x)?;
        let e = copy_or_cast(self.copy.as_ref(), e, x.dtype())?;
        let y = empty((b, k, d), x.dtype(), x)?;
        let factors = [Matrix::new(&e, k, n)?.first_columns(t), Matrix::new(x, t, d)?];
        product(x, Matrix::new(&y, k, d)?, factors, b, 1.0, false)?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (e, x) = (&inputs[0], &inputs[1]);
        let [b, t, d, k, n] = shapes(e, x)?;
        let e_copy = copy_or_cast(self.copy.as_ref(), e, x.dtype())?;
        let factors = [Matrix::new(&e_copy, k, n)?.first_columns(t).t(), Matrix::new(dy, k, d)?];
        gradients.product_on_cuda(x, factors, b)?;
        // The sum over sequences and columns is one product if the rows of all sequences lie side by side.
        let (dy, x) = (swap_axes(dy, b, k, d)?, swap_axes(x, b, t, d)?);
        if gradients.get(e).is_none() {
            gradients.add_tensor(e, e.zeros_like()?)?;
        }
        if let Some(sum) = gradients.get(e) {
            let factors = [Matrix::new(&dy, k, b * d)?, Matrix::new(&x, t, b * d)?.t()];
            product(sum, Matrix::new(sum, k, n)?.first_columns(t), factors, 1, 1.0, true)?;
        }
        Ok(())
    }
}
