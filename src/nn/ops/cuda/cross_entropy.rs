//! Cross-entropy with integer labels; the gradient recomputes the softmax from the logits.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::cast;
use super::launch::{Grid, device, empty, launch, suffix, tensor};
use crate::nn::ops::{CrossEntropy, Gradients};

impl Kernels for CrossEntropy {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let logits = &inputs[0];
        let (rows, classes) = logits.dims2()?;
        let losses = empty(rows, DType::F32, logits)?;
        let name = format!("cross_entropy_{}", suffix(logits.dtype())?);
        let arguments = [tensor(logits)?, tensor(&self.labels)?, tensor(&losses)?, classes.into()];
        launch(device(logits)?, &name, Grid::of_blocks(rows), &arguments)?;
        let mean = empty((), DType::F32, logits)?;
        launch(device(logits)?, "mean_f32", Grid::of_blocks(1), &[tensor(&losses)?, tensor(&mean)?, rows.into()])?;
        Ok(mean)
    }

    fn backward(&self, inputs: &[Tensor], dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let logits = &inputs[0];
        let (rows, classes) = logits.dims2()?;
        let dloss = cast(dloss, DType::F32)?;
        let dlogits = empty(logits.shape(), logits.dtype(), logits)?;
        let name = format!("cross_entropy_backward_{}", suffix(logits.dtype())?);
        let arguments = [tensor(logits)?, tensor(&self.labels)?, tensor(&dloss)?, tensor(&dlogits)?, classes.into()];
        launch(device(logits)?, &name, Grid::of_blocks(rows), &arguments)?;
        gradients.add_tensor(logits, dlogits)
    }
}
