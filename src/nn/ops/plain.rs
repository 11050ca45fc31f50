//! What candle computes as it is: other strides, another shape, a sum, and compositions that keep a graph of their own.

use candle_core::{Result, Tensor, Var};

use super::{Gradients, Operation};

/// Other strides or another shape: the gradient goes back into the shape of the input.
pub(in crate::nn) struct Contiguous;

pub(in crate::nn) struct Reshape(pub(in crate::nn) Vec<usize>);

/// The sum of two tensors.
pub(in crate::nn) struct Add;

impl Operation for Contiguous {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].contiguous()
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], dy.clone())
    }
}

impl Operation for Reshape {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].reshape(self.0.as_slice())
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], dy.reshape(inputs[0].shape())?)
    }
}

impl Operation for Add {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].add(&inputs[1])
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        inputs.iter().try_for_each(|x| gradients.add_tensor(x, dy.copy()?))
    }
}

/// A composition of candle's operations on copies of its inputs, with a graph of its own.
pub(in crate::nn) struct Composed {
    copies: Vec<Var>,
    result: Tensor,
}

impl Composed {
    pub(in crate::nn) fn new(copies: Vec<Var>, result: Tensor) -> Self {
        Self { copies, result }
    }
}

impl Operation for Composed {
    fn forward(&self, _inputs: &[Tensor]) -> Result<Tensor> {
        Ok(self.result.detach())
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let store = self.result.mul(dy)?.sum_all()?.backward()?;
        for (input, copy) in inputs.iter().zip(&self.copies) {
            if let Some(gradient) = store.get(copy) {
                gradients.add_tensor(input, gradient.contiguous()?.copy()?)?;
            }
        }
        Ok(())
    }
}
