//! The operations on NVIDIA GPUs, for f32, bf16 and f16: kernels of our own (`kernels/*.cu`, compiled when the program is
//! built) around the matrix products of cuBLAS.
//!
//! Activations have the compute dtype, weights and their gradients are f32: products in half precision take copies of the
//! weights, which a pass makes all at once. Every sum is taken in f32. Dropout masks are those of the CPU, position by
//! position.

mod adamw;
mod attention;
mod bias_product;
mod cross_entropy;
mod elementwise;
mod error;
mod fused_attention;
mod gather;
mod head_loss;
#[cfg(late_binding)]
mod late_binding;
mod launch;
mod layer_norm;
mod linear;
mod many;
mod mix;
mod open;
mod product;
mod rms_norm;
mod sums;

use candle_core::{DType, Result, Tensor};

pub(super) use adamw::adamw;
pub(super) use elementwise::{add, add_columns, add_dropped, cast_many, take_columns};
pub use error::CudaError;
pub(super) use fused_attention::Saved;
pub use open::{load_cuda, open_cuda};
pub(super) use sums::Partial;

use super::Gradients;

/// What an operation does on a GPU; as [`Operation`](super::Operation) otherwise.
pub(in crate::nn) trait Kernels {
    /// The result.
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor>;

    /// Adds the gradients for the inputs, given `dy`, that for the result.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()>;
}

/// Whether there are kernels for a dtype.
pub(super) fn has_kernels(dtype: DType) -> bool {
    launch::suffix(dtype).is_ok()
}
