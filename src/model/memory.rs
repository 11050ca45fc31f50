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
        self.state.saturating_add(self.activations).saturating_add(self.logits)
    }
}

/// What keeps activations out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saving {
    /// Attention in one kernel, which never writes its scores (Dao et al. 2022).
    pub fused_attention: bool,
    /// Only the input of each layer is kept, and the rest computed again (Chen et al. 2016).
    pub grad_checkpointing: bool,
}

/// Memory of a train step on one device without any saving.
#[must_use]
pub fn training_memory(config: &Config, arch: Arch, shape: StepShape, dtype: DType) -> MemoryEstimate {
    training_memory_with(config, arch, shape, dtype, Saving::default())
}

/// Memory of a train step on one device, after Korthikanti et al. 2022 (arXiv 2205.05198, equation 1):
/// `s b d (34 + 5 a s / d)` bytes a layer with 16-bit activations and 1-byte dropout masks, and
/// `s b d (66 + 9 a s / d)` with 32-bit ones, of which a feed-forward block of width 4 d has 16 and 32. A
/// Linformer keeps k columns of scores instead of s; LRT keeps an inner activation of `rank` for each linear.
#[must_use]
pub fn training_memory_with(
    config: &Config,
    arch: Arch,
    shape: StepShape,
    dtype: DType,
    saving: Saving,
) -> MemoryEstimate {
    let StepShape { batch_size, seq_len, masked_per_seq } = shape;
    // What is asked about need not be possible, and does not overflow.
    let tokens = (batch_size * seq_len) as u128;
    let (d, d_ff, layers) = (config.d_model as u128, config.d_ff as u128, config.n_layers as u128);
    let width = u128::from(dtype.bytes());
    let gate = u128::from(config.gated_mlp);
    let (per_element, per_inner, per_score) = if width == 2 { (18, 4, 5) } else { (34, 8, 9) };
    let keys = arch.k().unwrap_or(seq_len) as u128;
    let scores = if saving.fused_attention { 0 } else { per_score * config.n_heads as u128 * keys };
    let ranks = (6 + gate) * arch.rank().unwrap_or(0) as u128 * width;
    let layer = tokens * (per_element * d + (1 + gate) * per_inner * d_ff + scores + ranks);
    let kept = if saving.grad_checkpointing { layers * tokens * d * width + layer } else { layers * layer };
    MemoryEstimate {
        state: count_params(config, arch).saturating_mul(16),
        activations: bytes(kept + tokens * d * (2 * width + 1)),
        logits: bytes(2 * 4 * (batch_size * masked_per_seq) as u128 * config.vocab_size as u128),
    }
}

fn bytes(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
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
    fn checkpointing_keeps_the_input_of_each_layer_and_one_layer_whole() {
        let shape = StepShape { batch_size: 32, seq_len: 128, masked_per_seq: 20 };
        let saving = Saving { grad_checkpointing: true, ..Saving::default() };
        let kept = training_memory_with(&bert_base(), Arch::Dense, shape, DType::Bf16, saving).activations;
        // 12 inputs of 4096 x 768 in 2 bytes, one layer, and the embeddings.
        assert_eq!(kept, 12 * 6_291_456 + 138_412_032 + 15_728_640);
    }

    #[test]
    fn fused_attention_keeps_no_scores() {
        let shape = StepShape { batch_size: 1, seq_len: 512, masked_per_seq: 0 };
        let bytes = |fused_attention| {
            let saving = Saving { fused_attention, ..Saving::default() };
            training_memory_with(&bert_base(), Arch::Dense, shape, DType::Bf16, saving).activations
        };
        // 5 bytes of 12 heads x 512 x 512 scores in 12 layers.
        assert_eq!(bytes(false) - bytes(true), 5 * 12 * 262_144 * 12);
    }

    #[test]
    fn adamw_keeps_sixteen_bytes_a_parameter() {
        let shape = StepShape { batch_size: 1, seq_len: 1, masked_per_seq: 1 };
        let state = training_memory(&bert_base(), Arch::Dense, shape, DType::F32).state;
        assert_eq!(state, 1_761_702_848);
    }

    #[test]
    fn two_tiny_layers_keep_the_bytes_counted_by_hand() {
        // 2 layers, d 4, 2 heads, d_ff 6, vocab 10; batch 2, 3 tokens, 3 of them masked: 6 tokens.
        let config =
            Config { n_layers: 2, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let gated = Config { gated_mlp: true, ..config.clone() };
        let shape = StepShape { batch_size: 2, seq_len: 3, masked_per_seq: 3 };
        for (config, arch, dtype, grad_checkpointing, activations) in [
            // A token in f32: 34 x 4 + 8 x 6 + 9 x 2 x 3 = 238; 2 x 6 of them, and embeddings of 6 x 4 x 9.
            (&config, "dense", DType::F32, false, 3072),
            // 6 inner widths of 4 bytes more: 262.
            (&config, "lrt:rank=1", DType::F32, false, 3360),
            // Scores of 2 keys: 220.
            (&config, "linformer:k=2", DType::F32, false, 2856),
            // 18 x 4 + 2 x 4 x 6 + 5 x 2 x 3, and 7 inner widths of 2 bytes: 164; embeddings of 6 x 4 x 5.
            (&gated, "lrt:rank=1", DType::Bf16, false, 2088),
            // One layer of 34 x 4 + 2 x 8 x 6 + 54 = 286 a token, and two inputs of 6 x 4 x 4.
            (&gated, "dense", DType::F32, true, 2124),
        ] {
            let saving = Saving { grad_checkpointing, ..Saving::default() };
            let found = training_memory_with(config, arch.parse().expect("valid"), shape, dtype, saving);
            // Two times 4 bytes of 6 masked positions x 10.
            assert_eq!((found.activations, found.logits), (activations, 480), "{arch}, {dtype}");
        }
    }

    #[test]
    fn the_parts_add_up_and_what_is_beyond_all_numbers_is_the_largest() {
        assert_eq!(MemoryEstimate { state: 1, activations: 20, logits: 300 }.total(), 321);
        assert_eq!(MemoryEstimate { state: u64::MAX, activations: 1, logits: 1 }.total(), u64::MAX);
        assert_eq!(bytes(u128::from(u64::MAX) + 5), u64::MAX);
    }
}
