//! Operations with gradients that are right, in two makes.
//!
//! Each file but `stock` holds one fused operation: one pass over its data, and an analytic gradient that recomputes
//! what it can instead of keeping it. `stock` composes the same out of candle's operations.
//!
//! candle's own fused softmax and layer norm cut the graph without a word (candle-nn 0.11.1, `ops.rs`:
//! `apply_op*_no_bwd`), and its GELU has a gradient that is off in the seventh digit; none of them is used.

mod adamw;
mod attention;
mod cross_entropy;
mod dropout;
mod gather;
mod gelu;
mod gemm;
mod gradients;
mod layer_norm;
mod linear;
mod math;
mod mix;
mod real;
pub(super) mod stock;

use candle_core::{DType, Device, Result, Tensor};

pub use adamw::{AdamWRates, Moments, adamw};
pub use attention::Heads;
pub use dropout::Dropout;
pub use gradients::Gradients;

pub(super) use attention::Attention;
pub(super) use cross_entropy::CrossEntropy;
pub(super) use gather::Gather;
pub(super) use gelu::Gelu;
pub(super) use layer_norm::LayerNorm;
pub(super) use linear::Linear;
pub(super) use mix::Mix;

/// A fused operation. Its inputs are contiguous and of one type.
pub(super) trait Operation {
    /// The result.
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor>;

    /// Adds the gradients for the inputs, given `dy`, that for the result `y`.
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor, gradients: &mut Gradients) -> Result<()>;
}

/// Whether there are fused operations for a dtype on a device.
pub(super) fn are_fused(dtype: DType, device: &Device) -> bool {
    device.is_cpu() && matches!(dtype, DType::F32 | DType::F64)
}
