//! The memory of a step, by part.

use serde::{Deserialize, Serialize};

use super::layer::{Held, bytes};
use super::saving::{Kernels, Saving};
use super::{compiled, stock};
use crate::model::arch::LoraBase;
use crate::model::items::{Form, parameters};
use crate::model::{Arch, Config, Heads, StepShape, count_params, embedding_params, trainable_params};
use crate::units::{DType, States};

/// The parts of the memory of one device, in bytes. Modelled, not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// Weights and the two moments of AdamW: 12 bytes a trained parameter in f32; weights alone of those that are not trained.
    pub state: u64,
    /// What gradients add to the most that is taken: as many bytes as weights where they are kept from step to step; elsewhere
    /// they take the place of activations, so that it is what they need beyond that.
    pub gradients: u64,
    /// What the forward pass keeps for the backward pass; where operations run one by one in 16 bits, a copy of each weight too.
    pub activations: u64,
    /// Logits of the positions with a loss, what the loss makes of them, and their gradient.
    pub logits: u64,
}

impl MemoryEstimate {
    /// All parts together.
    #[must_use]
    pub fn total(self) -> u64 {
        let held = self.state.saturating_add(self.gradients);
        held.saturating_add(self.activations).saturating_add(self.logits)
    }
}

/// Memory of a train step on one device without any saving.
#[must_use]
pub fn training_memory(config: &Config, arch: Arch, shape: StepShape, dtype: DType) -> MemoryEstimate {
    training_memory_with(config, arch, shape, dtype, Saving::default())
}

/// Memory of a train step on one device: weights and states, what each layer keeps by the kernels that compute it, and the logits.
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
    let width = u128::from(dtype.bytes());
    let held = Held { config, arch, seq_len, width, saving };
    let is_stock = saving.kernels == Kernels::OneByOne;
    // Logits and their gradient. One by one, three of f32, which decoders make of 16 bits too. Compilers fill the columns up to a
    // multiple of 8, and copy the gradient into them (`pad_mm` of PyTorch's inductor).
    let of_logit = match (saving.kernels, width) {
        (Kernels::OneByOne, _) if held.is_cast() || config.heads() == Heads::Causal => 12,
        (Kernels::OneByOne, _) => 3 * width,
        (Kernels::Compiled, 2) if !config.vocab_size.is_multiple_of(8) => 6,
        (Kernels::Compiled | Kernels::Fused, _) => 2 * width,
    };
    let logits = of_logit * (batch_size * masked_per_seq) as u128 * config.vocab_size as u128;
    let (sparse, dense) = if is_stock { stock::layers(&held) } else { compiled::layers(&held) };
    let ends = if is_stock { stock::ends(&held, shape) } else { tokens * compiled::embedding_bytes(config, width) };
    let (of_dense, of_sparse) = (tokens.saturating_mul(dense), tokens.saturating_mul(sparse));
    let layers = config.n_layers as u128;
    let n_sparse = config.sparse().map_or(0, |(layers, _)| layers as u128);
    let kept = if saving.grad_checkpointing {
        let largest = match n_sparse {
            0 => of_dense,
            n if n == layers => of_sparse,
            _ => of_dense.max(of_sparse),
        };
        let input = held.d() * if is_stock { stock::residual_width(&held) } else { width };
        // The logits are gone when the last layer is computed again.
        layers * tokens * input + largest.saturating_sub(logits)
    } else {
        ((layers - n_sparse).saturating_mul(of_dense)).saturating_add(n_sparse.saturating_mul(of_sparse))
    };
    // Layers that are computed again cast their weights again.
    let copies = if is_stock && !saving.grad_checkpointing { stock::weight_copies(&held) } else { 0 };
    let (activations, logits) = (bytes(kept.saturating_add(ends)).saturating_add(copies), bytes(logits));
    let room = if saving.keeps_gradients { 0 } else { activations.saturating_add(logits) };
    let of_gradient = saving.states.weight_bytes(dtype.bytes());
    MemoryEstimate {
        state: state_bytes(config, arch, dtype, saving.states),
        gradients: gradient_bytes(config, arch, saving, of_gradient).saturating_sub(room),
        activations,
        logits,
    }
}

/// Gradients of numbers of `of_gradient` bytes. Where `PyTorch` makes them anew, that of a table which is the head as well comes twice, and is added up in a third.
fn gradient_bytes(config: &Config, arch: Arch, saving: Saving, of_gradient: u64) -> u64 {
    let all = trainable_params(config, arch).saturating_mul(of_gradient);
    let is_twice = config.is_tied() && !saving.keeps_gradients && !matches!(arch, Arch::Lora { .. });
    let table = (config.vocab_size as u64).saturating_mul(config.d_embedding() as u64);
    if is_twice { all.saturating_add(table.saturating_mul(2 * of_gradient)) } else { all }
}

/// Bits that QLoRA takes for a weight: 4, and 0.127 for the constants of its blocks of 64, which are quantised in turn (Dettmers et al.
/// 2023, arXiv 2305.14314, section 3).
const FOUR_BITS: f64 = 4.127;

/// Weights and moments, those of embeddings apart. What LoRA leaves as it is has its weights alone, in the number format of the step; QLoRA has those of the linears
/// of its layers in 4 bits.
fn state_bytes(config: &Config, arch: Arch, dtype: DType, states: States) -> u64 {
    let (all, trained) = (count_params(config, arch), trainable_params(config, arch));
    let frozen = all.saturating_sub(trained);
    let in_four = if let Arch::Lora { base: LoraBase::FourBits, .. } = arch { matrices(config).min(frozen) } else { 0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
    let quantised = (in_four as f64 * FOUR_BITS / 8.0) as u64;
    let rest = (frozen - in_four).saturating_mul(dtype.bytes());
    let tables = if matches!(arch, Arch::Lora { .. }) { 0 } else { embedding_params(config).min(trained) };
    let moments = |params: u64, of_embedding| params as f64 * states.moment_bytes(dtype.bytes(), of_embedding);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of a model, or the largest number"
    )]
    let moments = (moments(trained - tables, false) + moments(tables, true)) as u64;
    let weights = trained.saturating_mul(states.weight_bytes(dtype.bytes()));
    weights.saturating_add(moments).saturating_add(rest).saturating_add(quantised)
}

/// Weights of the linears of all layers, without their biases.
fn matrices(config: &Config) -> u64 {
    let sizes = parameters(config).into_iter().filter(|item| item.is_factorised).map(|item| match item.form {
        Form::Linear { d_in, d_out, .. } => (d_in as u64).saturating_mul(d_out as u64).saturating_mul(item.times),
        Form::Table { .. } | Form::Values(_) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;
    use crate::model::{Details, Experts, Family, Norm};

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
        let kept = training_memory_with(&bert_base(), Arch::Dense, shape, DType::Bf16, saving);
        // 12 inputs of 4096 x 768 in 2 bytes, one layer, in whose place there were logits before, and the embeddings.
        assert_eq!(kept.activations + kept.logits, 12 * 6_291_456 + 138_412_032 + 15_728_640);
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
    fn adamw_keeps_twelve_bytes_a_parameter_and_gradients_take_four_or_the_place_of_activations() {
        let shape = |batch_size| StepShape { batch_size, seq_len: 1, masked_per_seq: 1 };
        let of = |batch_size, keeps_gradients| {
            let saving = Saving { keeps_gradients, ..Saving::default() };
            training_memory_with(&bert_base(), Arch::Dense, shape(batch_size), DType::F32, saving)
        };
        let kept = of(1, true);
        assert_eq!((kept.state, kept.gradients), (1_321_277_136, 440_425_712));
        let anew = of(1, false);
        // The gradient of the table of 30522 x 768 comes from the embedding and from the head.
        assert_eq!(anew.gradients + anew.activations + anew.logits, 440_425_712 + 8 * 30522 * 768);
        assert_eq!(of(10_000, false).gradients, 0);
    }

    #[test]
    fn two_tiny_layers_keep_the_bytes_counted_by_hand() {
        // 2 layers, d 4, 2 heads, d_ff 6, vocab 10; batch 2, 3 tokens, 3 of them masked: 6 tokens.
        let config =
            Config { n_layers: 2, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let gated = Config { gated_mlp: true, ..config.clone() };
        let rms = Config { details: Details { norm: Some(Norm::Rms), ..Details::default() }, ..gated.clone() };
        let shape = StepShape { batch_size: 2, seq_len: 3, masked_per_seq: 3 };
        for (config, arch, dtype, grad_checkpointing, activations) in [
            // A token in f32: 34 x 4 + 8 x 6 + 9 x 2 x 3 = 238; 2 x 6 of them, and embeddings of 6 x 4 x 9.
            (&config, "dense", DType::F32, false, 3072),
            // 6 inner widths of 4 bytes more: 262.
            (&config, "lrt:rank=1", DType::F32, false, 3360),
            // Scores of 2 keys: 220.
            (&config, "linformer:k=2", DType::F32, false, 2856),
            // 18 x 4 + 6 x 6 + 5 x 2 x 3, and 7 inner widths of 2 bytes: 152; embeddings of 6 x 4 x 5.
            (&gated, "lrt:rank=1", DType::Bf16, false, 1944),
            // 16 x 4 and scores of 2 instead, and embeddings of 6 x 4 x 4.
            (&rms, "lrt:rank=1", DType::Bf16, false, 1608),
            // One layer of 34 x 4 + 12 x 6 + 54 = 262 a token beyond the logits, and two inputs of 6 x 4 x 4.
            (&gated, "dense", DType::F32, true, 1500),
        ] {
            let saving = Saving { grad_checkpointing, ..Saving::default() };
            let found = training_memory_with(config, arch.parse().expect("valid"), shape, dtype, saving);
            // Two times 4 bytes of 6 masked positions x 10; in 16 bits three times 2, since 10 is no multiple of 8.
            let logits = if dtype == DType::Bf16 { 360 } else { 480 };
            assert_eq!((found.activations, found.logits), (activations, logits), "{arch}, {dtype}");
        }
    }

    #[test]
    fn operations_one_by_one_keep_the_bytes_counted_by_hand() {
        // One layer, d 4, 2 heads, d_ff 6, vocab 10; one sequence of 3 tokens, all with a loss.
        let encoder =
            Config { n_layers: 1, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let decoder = Config { family: Family::Decoder, type_vocab_size: 0, ..encoder.clone() };
        let rms = Details { norm: Some(Norm::Rms), ..Details::default() };
        let gated = Config { gated_mlp: true, details: rms, ..decoder.clone() };
        let shape = StepShape { batch_size: 1, seq_len: 3, masked_per_seq: 3 };
        let of = |config: &Config, kernels, fused_attention, dtype| {
            let saving = Saving { kernels, fused_attention, ..Saving::default() };
            training_memory_with(config, Arch::Dense, shape, dtype, saving)
        };
        for (config, fused, layer, ends) in [
            // Norms 2 x 4 x 4, four inputs of 2 x 4, q, k, v and output 4 x 2 x 4, masks 8, and inside the block 2 x 2 x 6; a norm and a
            // mask of the embedding, and of the head two linears' inputs, an activation and a norm.
            (&encoder, true, 128, 20 + 40),
            // Scores of 7 x 2 x 3.
            (&encoder, false, 128 + 42, 20 + 40),
            (&decoder, true, 128, 20 + 8),
            // Inside the block 16 x 6.
            (&decoder, false, 128 - 24 + 96 + 42, 20 + 8),
            // Norms 2 x 8 x 4, five inputs of 2 x 4, 32, inside 4 x 2 x 6, scores of 6 x 2 x 3.
            (&gated, false, 64 + 40 + 32 + 48 + 36, 32 + 8),
        ] {
            let memory = of(config, Kernels::OneByOne, fused, DType::Bf16);
            let copies = 2 * count_params(config, Arch::Dense);
            // 12 bytes of 3 x 10 logits.
            assert_eq!((memory.activations, memory.logits), (3 * (layer + ends) + copies, 360), "{config:?}");
        }
        let eights = Config { vocab_size: 16, ..encoder.clone() };
        let logits = |config, kernels| of(config, kernels, true, DType::Bf16).logits;
        assert_eq!(logits(&encoder, Kernels::Fused), 120);
        assert_eq!((logits(&encoder, Kernels::Compiled), logits(&eights, Kernels::Compiled)), (180, 192));
        // 34 x 4 + 8 x 6 + 9 x 2 x 3, as compiled; a norm, a mask, and of the head four tensors of 4 x 4.
        let in_f32 = of(&encoder, Kernels::OneByOne, false, DType::F32);
        assert_eq!(in_f32.activations, 3 * (238 + 20 + 64), "f32 is not cast");
    }

    #[test]
    fn grouped_heads_and_experts_keep_the_bytes_counted_by_hand() {
        // Without experts: 2 layers, d 4, 2 heads of 2 that one head of keys serves, gated d_ff 6; 3 tokens.
        let details = Details { n_kv_heads: Some(1), ..Details::default() };
        let config = Config {
            n_layers: 2,
            d_model: 4,
            n_heads: 2,
            d_ff: 6,
            vocab_size: 10,
            max_seq_len: 3,
            gated_mlp: true,
            details,
            ..bert_base()
        };
        let shape = StepShape { batch_size: 1, seq_len: 3, masked_per_seq: 3 };
        let of = |config: &Config, fused_attention| {
            let saving = Saving { fused_attention, ..Saving::default() };
            training_memory_with(config, Arch::Dense, shape, DType::F32, saving).activations
        };
        // A token: 34 x 4 less keys and values of one head, 2 x 2 x 4 = 16, and 12 x 6 = 192; embeddings of 3 x 4 x 9.
        assert_eq!(of(&config, true), 3 * 2 * 192 + 108);
        // Scores of both heads: 9 x 2 x 3.
        assert_eq!(of(&config, false), 3 * 2 * 246 + 108);
        let experts =
            Experts { count: 5, active: 2, d_ff: 3, layers: Some(1), shared_d_ff: 1, shared_gate: false, bias: false };
        let mut mixture = config;
        mixture.details.experts = Some(experts);
        // The sparse layer: 120, two experts of 12 x 3 and copies of 2 x 4 x 4, shared 12, scores of the router 20.
        assert_eq!(of(&mixture, true), 3 * (192 + 120 + 2 * (36 + 32) + 12 + 20) + 108);
    }

    #[test]
    fn lora_keeps_no_inputs_of_frozen_products_and_qlora_four_bits_a_weight() {
        // One layer, d 4, 2 heads, d_ff 6, vocab 10, 3 tokens, f32.
        let config =
            Config { n_layers: 1, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let shape = StepShape { batch_size: 1, seq_len: 3, masked_per_seq: 1 };
        let of = |arch: &str| {
            let saving = Saving { fused_attention: true, ..Saving::default() };
            training_memory_with(&config, arch.parse().expect("valid"), shape, DType::F32, saving)
        };
        // A token: 34 x 4 + 8 x 6 = 184; without the inputs of both products of the block 40 less, and two pairs of 4 bytes more.
        let embeddings = 3 * 4 * 9;
        assert_eq!(of("dense").activations, 3 * 184 + embeddings);
        assert_eq!(of("lora:rank=1,targets=qv").activations, 3 * (184 - 40 + 8) + embeddings);
        assert_eq!(of("lora:rank=1,targets=all").activations, 3 * (184 + 24) + embeddings);
        // 4 x 16 + 2 x 24 weights in the layer's linears: 112 x 4.127 / 8 = 57.778 bytes instead of 448.
        let (lora, qlora) = (of("lora:rank=1,targets=qv"), of("qlora:rank=1,targets=qv"));
        assert_eq!(lora.state - qlora.state, 448 - 57);
        assert_eq!(lora.activations, qlora.activations);
    }

    #[test]
    fn the_parts_add_up_and_what_is_beyond_all_numbers_is_the_largest() {
        let of = |state| MemoryEstimate { state, gradients: 20, activations: 300, logits: 4000 }.total();
        assert_eq!((of(1), of(u64::MAX)), (4321, u64::MAX));
        assert_eq!(bytes(u128::from(u64::MAX) + 5), u64::MAX);
    }
}
