//! Cross-entropy with integer labels; the gradient recomputes the softmax from the logits.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::cast;
use super::launch::{Argument, Grid, device, empty, launch, rows_of, suffix, tensor};
use crate::nn::ops::{CrossEntropy, Gradients};

/// Writes the loss of each row into `losses` `(rows)` of f32.
pub(super) fn losses_of(logits: &Tensor, labels: &Tensor, losses: &Tensor) -> Result<()> {
    let (rows, classes) = logits.dims2()?;
    let name = format!("cross_entropy_{}", suffix(logits.dtype())?);
    let (of_logits, stride) = rows_of(logits, classes)?;
    let arguments = [Argument::Address(of_logits), tensor(labels)?, tensor(losses)?, classes.into(), stride.into()];
    launch(device(logits)?, &name, Grid::of_blocks(rows), &arguments)
}

/// The mean of the losses of all rows.
pub(super) fn mean_of(losses: &Tensor) -> Result<Tensor> {
    let mean = empty((), DType::F32, losses)?;
    let arguments = [tensor(losses)?, tensor(&mean)?, losses.elem_count().into()];
    launch(device(losses)?, "mean_f32", Grid::of_blocks(1), &arguments)?;
    Ok(mean)
}

/// Writes the gradient for the logits, given that for a mean over `of` rows, into `dlogits`, whose rows are as far apart: the logits
/// themselves, or a tensor of its own.
pub(super) fn put_gradient(
    (logits, labels): (&Tensor, &Tensor),
    (dloss, of): (&Tensor, usize),
    dlogits: &Tensor,
) -> Result<()> {
    let (rows, classes) = logits.dims2()?;
    let (of_logits, stride) = rows_of(logits, classes)?;
    let (of_dlogits, _) = rows_of(dlogits, classes)?;
    let name = format!("cross_entropy_backward_{}", suffix(logits.dtype())?);
    let arguments = [
        Argument::Address(of_logits),
        tensor(labels)?,
        tensor(dloss)?,
        Argument::Address(of_dlogits),
        classes.into(),
        stride.into(),
        of.into(),
    ];
    launch(device(logits)?, &name, Grid::of_blocks(rows), &arguments)
}

impl Kernels for CrossEntropy {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let losses = empty(inputs[0].dim(0)?, DType::F32, &inputs[0])?;
        losses_of(&inputs[0], &self.labels, &losses)?;
        mean_of(&losses)
    }

    fn backward(&self, inputs: &[Tensor], dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let logits = &inputs[0];
        let (rows, classes) = logits.dims2()?;
        let dloss = cast(dloss, DType::F32)?;
        // Rows as long as those of the logits: what products can load fast of one, they can of the other.
        let (_, stride) = rows_of(logits, classes)?;
        let dlogits = empty((rows, stride), logits.dtype(), logits)?.narrow(1, 0, classes)?;
        put_gradient((logits, &self.labels), (&dloss, rows), &dlogits)?;
        gradients.add_tensor(logits, dlogits)
    }
}
