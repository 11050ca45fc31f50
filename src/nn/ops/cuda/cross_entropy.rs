//! Cross-entropy with integer labels; the gradient recomputes the softmax from the logits.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::cast;
use super::launch::{Argument, Grid, device, empty, launch, rows_of, suffix, tensor};
use crate::nn::ops::{CrossEntropy, Gradients};

impl Kernels for CrossEntropy {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let logits = &inputs[0];
        let (rows, classes) = logits.dims2()?;
        let losses = empty(rows, DType::F32, logits)?;
        let name = format!("cross_entropy_{}", suffix(logits.dtype())?);
        let (of_logits, stride) = rows_of(logits, classes)?;
        let labels = tensor(&self.labels)?;
        let arguments = [Argument::Address(of_logits), labels, tensor(&losses)?, classes.into(), stride.into()];
        launch(device(logits)?, &name, Grid::of_blocks(rows), &arguments)?;
        let mean = empty((), DType::F32, logits)?;
        launch(device(logits)?, "mean_f32", Grid::of_blocks(1), &[tensor(&losses)?, tensor(&mean)?, rows.into()])?;
        Ok(mean)
    }

    fn backward(&self, inputs: &[Tensor], dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let logits = &inputs[0];
        let (rows, classes) = logits.dims2()?;
        let dloss = cast(dloss, DType::F32)?;
        // Rows as long as those of the logits: what products can load fast of one, they can of the other.
        let (of_logits, stride) = rows_of(logits, classes)?;
        let dlogits = empty((rows, stride), logits.dtype(), logits)?;
        let name = format!("cross_entropy_backward_{}", suffix(logits.dtype())?);
        let of_loss = [tensor(&self.labels)?, tensor(&dloss)?];
        let arguments =
            [&[Argument::Address(of_logits)][..], &of_loss, &[tensor(&dlogits)?, classes.into(), stride.into()]]
                .concat();
        launch(device(logits)?, &name, Grid::of_blocks(rows), &arguments)?;
        gradients.add_tensor(logits, dlogits.narrow(1, 0, classes)?)
    }
}
