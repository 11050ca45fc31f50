//! Training in candle: BERT's pre-training, `ModernBERT`'s, and decoders as GPT-2 and Llama, dense, low-rank (LRT), as Linformer where they are
//! encoders, and with LoRA, with their real forward and backward passes.
//!
//! Weights are f32 and carry the names of Hugging Face's models; activations have the compute dtype, as under PyTorch's autocast.

mod attention;
mod batch;
mod bert;
mod body;
mod causal_batch;
mod checkpoint;
mod decoder;
mod encoder;
mod error;
mod guides;
mod linear;
mod linears;
mod masked;
mod model;
mod modern_bert;
pub mod ops;
mod optimizer;
mod params;
mod tape;

pub use crate::model::Ops;
pub use batch::Batch;
pub use bert::{BertForPreTraining, Losses};
pub use body::Body;
pub use causal_batch::CausalBatch;
pub use checkpoint::{Checkpoint, check_head, said};
pub use decoder::CausalLm;
pub use error::NnError;
pub use guides::Guides;
pub use linears::{Fused, LayerLinear};
pub use model::{Input, Model, linears};
pub use modern_bert::ModernBertForMaskedLm;
pub use ops::Gradients;
#[cfg(feature = "cuda")]
pub use ops::{CudaError, load_cuda, open_cuda};
pub use optimizer::{AdamW, AdamWConfig, clip_gradients};
pub use params::Params;
pub use tape::Tape;

use candle_core::DType as TensorDType;

use self::ops::Dropout;
use crate::units::DType;

/// How a pass computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassConfig {
    /// Type of the activations.
    pub dtype: TensorDType,
    /// Which make of the operations computes.
    pub ops: Ops,
    /// Probability of dropout; 0 in inference.
    pub dropout: f64,
    /// Seed of this step's dropout masks.
    pub dropout_seed: u64,
}

impl PassConfig {
    /// Dropout whose mask is the `place`-th of this pass.
    fn dropout(&self, place: u64) -> Dropout {
        Dropout { p: self.dropout, seed: self.dropout_seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)) }
    }

    /// A pass without dropout.
    #[must_use]
    pub fn deterministic(dtype: TensorDType) -> Self {
        Self { dtype, ops: Ops::Fused, dropout: 0.0, dropout_seed: 0 }
    }
}

/// candle's type for a dtype. TF32 is f32 in memory: it is a mode of the device's matrix products.
#[must_use]
pub fn tensor_dtype(dtype: DType) -> TensorDType {
    match dtype {
        DType::F32 | DType::Tf32 => TensorDType::F32,
        DType::Bf16 => TensorDType::BF16,
        DType::F16 => TensorDType::F16,
    }
}
