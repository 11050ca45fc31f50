//! Operations with gradients that are right, in two makes.
//!
//! Each file but `stock` and `plain` holds one fused operation: one pass over its data, and an analytic gradient that
//! recomputes what it can instead of keeping it. `stock` composes the same out of candle's operations.
//!
//! candle's own fused softmax and layer norm cut the graph without a word (candle-nn 0.11.1, `ops.rs`:
//! `apply_op*_no_bwd`), and its GELU has a gradient that is off in the seventh digit; none of them is used.

mod activation;
mod adamw;
mod attention;
mod cast;
mod copies;
mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
mod dropout;
mod gather;
mod gemm;
mod gradients;
mod head_loss;
mod layer_norm;
mod linear;
mod math;
mod mix;
mod plain;
mod real;
mod rms_norm;
mod rotary;
pub(super) mod stock;
mod visible;

use candle_core::{DType, Device, Result, Tensor};

pub use adamw::{AdamWRates, Moments, Update, adamw};
pub use attention::{Heads, Sequences};
#[cfg(feature = "cuda")]
pub use cuda::{CudaError, load_cuda, open_cuda};
pub use dropout::Dropout;
pub use gradients::Gradients;
pub use rotary::Angles;
pub use visible::Sight;

pub(super) use activation::{Activation, Gate};
pub(super) use attention::Attention;
pub(super) use cast::Cast;
pub(super) use copies::Copies;
pub(super) use cross_entropy::CrossEntropy;
pub(super) use gather::Gather;
pub(super) use head_loss::{HeadLoss, Wanted};
pub(super) use layer_norm::LayerNorm;
pub(super) use linear::Linear;
pub(super) use mix::Mix;
pub(super) use plain::{Add, Blend, Columns, Composed, Contiguous, Frozen, Map, Reshape, Slot};
pub(super) use rms_norm::RmsNorm;

/// How the message begins of an error that smaller tensors would not have.
pub(super) const TOO_LARGE: &str = "too large for a GPU";

/// Where the rows of a matrix may be longer than it is wide, for an operation on a GPU. Only a linear makes such a result, and
/// only cross-entropy such a gradient, whose rows end in zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LongRows {
    /// Nowhere: every tensor is made contiguous before.
    Nowhere,
    /// In its input.
    InInput,
    /// In the gradient for its result.
    InGradient,
}

impl LongRows {
    /// Whether the operation takes `x` as it is, in this place.
    pub(super) fn are_taken(self, place: Self, x: &Tensor) -> bool {
        self == place && x.device().is_cuda() && matches!(x.stride(), [_, 1])
    }
}

/// A fused operation. Its inputs are contiguous, but where it takes long rows; on the CPU they are of one type, on a GPU weights may be of f32 beside
/// activations of half precision.
pub(super) trait Operation {
    /// The result.
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor>;

    /// Adds the gradients for the inputs, given `dy`, that for the result.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()>;

    /// Where it takes long rows.
    fn long_rows(&self) -> LongRows {
        LongRows::Nowhere
    }

    /// What computes it on a GPU, where it is not what computes it on the CPU.
    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn cuda::Kernels> {
        None
    }
}

/// The result, by what computes it on the device of the inputs.
pub(super) fn forward(operation: &dyn Operation, inputs: &[Tensor]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(kernels) = operation.on_cuda().filter(|_| inputs[0].device().is_cuda()) {
        return kernels.forward(inputs);
    }
    operation.forward(inputs)
}

/// The gradients, by what computes them on the device of the inputs.
pub(super) fn backward(
    operation: &dyn Operation,
    inputs: &[Tensor],
    dy: &Tensor,
    gradients: &mut Gradients,
) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Some(kernels) = operation.on_cuda().filter(|_| inputs[0].device().is_cuda()) {
        return kernels.backward(inputs, dy, gradients);
    }
    operation.backward(inputs, dy, gradients)
}

/// Whether there are fused operations for a dtype on a device.
pub(super) fn are_fused(dtype: DType, device: &Device) -> bool {
    match device {
        Device::Cpu => matches!(dtype, DType::F32 | DType::F64),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => cuda::has_kernels(dtype),
        _ => false,
    }
}
