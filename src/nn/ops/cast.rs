//! Another number type: single precision for weights and norms of embeddings, half precision for activations.

use candle_core::{DType, Result, Tensor};

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::{Gradients, Operation};

/// `[x]` in another type. The gradient goes back into that of x.
pub(in crate::nn) struct Cast(pub(in crate::nn) DType);

impl Operation for Cast {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].to_dtype(self.0)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], dy.to_dtype(inputs[0].dtype())?)
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
