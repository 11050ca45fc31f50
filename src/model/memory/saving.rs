//! What keeps activations out of memory.

use crate::units::States;

/// How finely a step is cut into kernels: each keeps what its own backward pass needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kernels {
    /// Each operation by itself, in 16 bits over f32 weights as `torch.autocast` casts: norms, softmax and the loss keep f32, and
    /// each weight has a copy in 16 bits.
    OneByOne,
    /// What is element-wise is computed again from what products keep (Korthikanti et al. 2022).
    #[default]
    Compiled,
    /// The same, and the loss copies no logits, however many classes there are.
    Fused,
}

/// What keeps activations out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saving {
    /// Of which kernels a step is made.
    pub kernels: Kernels,
    /// Attention in one kernel, which never writes its scores (Dao et al. 2022).
    pub fused_attention: bool,
    /// Only the input of each layer is kept, and the rest computed again (Chen et al. 2016).
    pub grad_checkpointing: bool,
    /// Gradients are kept from one backward pass to the next: they are added up over micro-batches, or live in the buffers that
    /// devices exchange.
    pub keeps_gradients: bool,
    /// In which formats weights, gradients and moments are.
    pub states: States,
}
