//! How much memory training takes on a device.

use serde::{Deserialize, Serialize};

use super::{Arch, Config, StepShape, count_params};
use crate::units::DType;

/// The parts of the memory of one device, in bytes. Modelled, not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// f32 weights, gradients and the two moments of AdamW: 16 bytes a parameter.
    pub state: u64,
    /// What the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Logits of the masked positions and their gradient.
    pub logits: u64,
}

impl MemoryEstimate {
    /// All parts together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.state + self.activations + self.logits
    }
}

/// Memory of a train step on one device, after Korthikanti et al. 2022 (arXiv 2205.05198, equation 1):
/// `s b d (34 + 5 a s / d)` bytes a layer with 16-bit activations and 1-byte dropout masks, and
/// `s b d (66 + 9 a s / d)` with 32-bit ones. A Linformer keeps k columns of scores instead of s; LRT
/// keeps an inner activation of `rank` for each of its six linears.
#[must_use]
pub fn training_memory(config: &Config, arch: Arch, shape: StepShape, dtype: DType) -> MemoryEstimate {
    let StepShape { batch_size, seq_len, masked_per_seq } = shape;
    let tokens = (batch_size * seq_len) as u64;
    let d = config.d_model as u64;
    let width = dtype.bytes();
    let (per_element, per_score) = if width == 2 { (34, 5) } else { (66, 9) };
    let keys = arch.k().unwrap_or(seq_len) as u64;
    let inner = 6 * arch.rank().unwrap_or(0) as u64 * width;
    let layer = tokens * (per_element * d + per_score * config.n_heads as u64 * keys + inner);
    MemoryEstimate {
        state: 16 * count_params(config, arch),
        activations: config.n_layers as u64 * layer + tokens * d * (2 * width + 1),
        logits: 2 * 4 * (batch_size * masked_per_seq * config.vocab_size) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;

    #[test]
    fn a_bert_base_layer_of_32_by_128_takes_132_mib_in_16_bits() {
        let shape = StepShape { batch_size: 32, seq_len: 128, masked_per_seq: 20 };
        let twelve = training_memory(&bert_base(), Arch::Dense, shape, DType::Bf16).activations;
        let embeddings = 32 * 128 * 768 * 5;
        assert_eq!((twelve - embeddings) / 12, 138_412_032); // 132 MiB
    }

    #[test]
    fn adamw_keeps_sixteen_bytes_a_parameter() {
        let shape = StepShape { batch_size: 1, seq_len: 1, masked_per_seq: 1 };
        let state = training_memory(&bert_base(), Arch::Dense, shape, DType::F32).state;
        assert_eq!(state, 1_761_702_848);
    }
}
