//! How much memory training takes on a device.

use serde::{Deserialize, Serialize};

use super::arch::{LoraBase, LoraTargets};
use super::items::{Form, parameters};
use super::{Arch, Config, Family, Norm, StepShape, count_params, trainable_params};
use crate::units::DType;

/// The parts of the memory of one device, in bytes. Modelled, not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// f32 weights, gradients and the two moments of AdamW: 16 bytes a trained parameter, and 2 more of a copy in 16 bits where
    /// operations run one by one; weights alone of those that are not trained.
    pub state: u64,
    /// What the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Logits of the masked positions, what the loss makes of them, and their gradient.
    pub logits: u64,
}

impl MemoryEstimate {
    /// All parts together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.state.saturating_add(self.activations).saturating_add(self.logits)
    }
}

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
}

/// Memory of a train step on one device without any saving.
#[must_use]
pub fn training_memory(config: &Config, arch: Arch, shape: StepShape, dtype: DType) -> MemoryEstimate {
    training_memory_with(config, arch, shape, dtype, Saving::default())
}

/// Memory of a train step on one device, after Korthikanti et al. 2022 (arXiv 2205.05198, equation 1):
/// `s b d (34 + 5 a s / d)` bytes a layer with 16-bit activations and 1-byte dropout masks, and
/// `s b d (66 + 9 a s / d)` with 32-bit ones, of which a feed-forward block of width 4 d has 16 and 32. A
/// Linformer keeps k columns of scores instead of s; LRT keeps an inner activation of `rank` for each linear. Of a mixture of
/// experts a token keeps what the experts that it visits compute; a window saves no scores where they are written at all.
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
    let (d, layers) = (config.d_model as u128, config.n_layers as u128);
    let width = u128::from(dtype.bytes());
    let (sparse, dense) = layer_bytes(config, arch, seq_len, width, saving);
    let n_sparse = config.sparse().map_or(0, |(layers, _)| layers as u128);
    let (of_dense, of_sparse) = (tokens.saturating_mul(dense), tokens.saturating_mul(sparse));
    let kept = if saving.grad_checkpointing {
        let largest = if n_sparse == layers {
            of_sparse
        } else if n_sparse == 0 {
            of_dense
        } else {
            of_dense.max(of_sparse)
        };
        layers * tokens * d * width + largest
    } else {
        ((layers - n_sparse).saturating_mul(of_dense)).saturating_add(n_sparse.saturating_mul(of_sparse))
    };
    // Logits and their gradient. One by one, in 16 bits there are two of f32 between, in f32 there are three. Compilers fill the
    // columns up to a multiple of 8, and copy the gradient into them (`pad_mm` of PyTorch's inductor).
    let of_logit = match (saving.kernels, width) {
        (Kernels::OneByOne, _) => 12,
        (Kernels::Compiled, 2) if !config.vocab_size.is_multiple_of(8) => 6,
        (Kernels::Compiled | Kernels::Fused, _) => 2 * width,
    };
    MemoryEstimate {
        state: state_bytes(config, arch, dtype, saving.kernels),
        activations: bytes(kept.saturating_add(tokens * embedding_bytes(config, width))),
        logits: bytes(of_logit * (batch_size * masked_per_seq) as u128 * config.vocab_size as u128),
    }
}

/// Bits that QLoRA takes for a weight: 4, and 0.127 for the constants of its blocks of 64, which are quantised in turn (Dettmers et al.
/// 2023, arXiv 2305.14314, section 3).
const FOUR_BITS: f64 = 4.127;

/// Weights, gradients and the two moments of AdamW in f32: 16 bytes a parameter; 18 with the copies of 16 bits that `torch.autocast`
/// keeps (Hugging Face, "Model training anatomy"). What LoRA leaves as it is has its weights alone, in the number format of the step;
/// QLoRA has those of the linears of its layers in 4 bits.
fn state_bytes(config: &Config, arch: Arch, dtype: DType, kernels: Kernels) -> u64 {
    let (all, trained) = (count_params(config, arch), trainable_params(config, arch));
    let frozen = all.saturating_sub(trained);
    let in_four = if let Arch::Lora { base: LoraBase::FourBits, .. } = arch { matrices(config).min(frozen) } else { 0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
    let quantised = (in_four as f64 * FOUR_BITS / 8.0) as u64;
    let rest = (frozen - in_four).saturating_mul(dtype.bytes());
    let of_trained = if is_cast(kernels, dtype.bytes().into()) { 18 } else { 16 };
    trained.saturating_mul(of_trained).saturating_add(rest).saturating_add(quantised)
}

/// Whether operations of 16 bits and of f32 take turns.
fn is_cast(kernels: Kernels, width: u128) -> bool {
    kernels == Kernels::OneByOne && width == 2
}

/// Weights of the linears of all layers, without their biases.
fn matrices(config: &Config) -> u64 {
    let sizes = parameters(config).into_iter().filter(|item| item.is_factorised).map(|item| match item.form {
        Form::Linear { d_in, d_out, .. } => (d_in as u64).saturating_mul(d_out as u64).saturating_mul(item.times),
        Form::Table { .. } | Form::Values(_) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

/// Bytes of a mask of dropout on an element: 1, and none in models that divide by a root mean square. Those that are published (Llama,
/// Mistral, Qwen, Gemma, OLMo 2) are trained without dropout, and their files name no probability for it.
fn mask_bytes(config: &Config) -> u128 {
    u128::from(config.details.norm != Some(Norm::Rms))
}

/// Bytes that a token's embedding keeps: the sum and what is made of it, and a mask of dropout.
#[must_use]
pub fn embedding_bytes(config: &Config, width: u128) -> u128 {
    config.d_model as u128 * (2 * width + mask_bytes(config))
}

/// Bytes that a sparse and a dense layer keep for each token. Of the `34 d` of the equation 8 are queries, keys, values and the
/// input of the output's linear, which are narrower or wider with heads of their own size and number, and 4 the inputs of two
/// norms, and 2 the masks of dropout. A gated block keeps the gate, what it gates, and for the last product both together; one by one,
/// its activation as well. A token's input is copied to each expert that it visits, and what comes back from it is kept to weigh it.
///
/// Where 16 bits and f32 take turns, the inputs of both norms are of f32, and one that divides by a root mean square keeps what it
/// has divided as well; softmax leaves f32 (4 bytes), a mask (1) and a copy of 16 bits (2). Stock decoders that compute attention in
/// separate operations do so with the tanh form of GELU too: its input (2), the cube and the tanh in f32 with what they are made of
/// (16), its output (2), and the copy for the product (2).
fn layer_bytes(config: &Config, arch: Arch, seq_len: usize, width: u128, saving: Saving) -> (u128, u128) {
    let (d, gate) = (config.d_model as u128, u128::from(config.gated_mlp));
    let divided = if config.details.norm == Some(Norm::Rms) { 8 } else { 0 };
    let is_tanh_composed = config.family == Family::Decoder && !config.gated_mlp && !saving.fused_attention;
    let (per_element, per_inner, per_score) = match width {
        2 if is_cast(saving.kernels, width) => (20 + divided, if is_tanh_composed { 22 } else { 4 }, 7),
        2 => (16, 4, 5),
        _ => (32, 8, 9),
    };
    let per_element = per_element + 2 * mask_bytes(config);
    let per_inner = match (config.gated_mlp, saving.kernels) {
        (false, _) => per_inner,
        (true, Kernels::OneByOne) => 2 * per_inner,
        (true, Kernels::Compiled | Kernels::Fused) => 3 * width,
    };
    let (heads, groups) = (config.n_heads as u128, config.n_kv_heads() as u128);
    let (score, value) = (config.d_head() as u128, config.d_value() as u128);
    let attention = width * (heads * (score + value) + groups * (score + value));
    let norms = width * d * config.norms_per_layer() as u128;
    let qk_norm = if config.details.qk_norm.is_some() { width * (heads + groups) * score } else { 0 };
    let latent =
        config.details.latent.map_or(0, |l| width * (2 * l.q_rank.unwrap_or(0) + 2 * l.kv_rank + l.rope) as u128);
    let keys = arch.k().unwrap_or(seq_len) as u128;
    let scores = if saving.fused_attention { 0 } else { per_score * heads * keys };
    let rank = |d_in: u128, d_out: u128| {
        let side = |d: u128| usize::try_from(d).unwrap_or(usize::MAX);
        arch.rank_of(config, (side(d_in), side(d_out))).unwrap_or(0) as u128
    };
    let ranks = 2 * rank(d, heads * score) + 2 * rank(d, groups * score);
    // A product with a weight that is not trained needs its input for no gradient, and LoRA's pairs keep a narrow activation each.
    let is_frozen = |routed: bool| match arch {
        Arch::Lora { targets: LoraTargets::QueryValue, .. } => true,
        Arch::Lora { targets: LoraTargets::AllLinear, .. } => routed,
        Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => false,
    };
    let pairs = match arch {
        Arch::Lora { rank, targets, .. } => {
            let of_layer = if targets == LoraTargets::QueryValue { 2 } else { 6 + gate };
            of_layer * rank as u128 * width
        }
        Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => 0,
    };
    let rest = (per_element - 6 * width) * d + attention + norms + qk_norm + latent + scores + ranks * width + pairs;
    let block = |d_ff: usize, routed: bool| {
        let d_ff = d_ff as u128;
        let spared = if is_frozen(routed) { width * (d + d_ff) } else { 0 };
        (per_inner * d_ff + (2 + gate) * rank(d, d_ff) * width).saturating_sub(spared)
    };
    let sparse = config.sparse().map_or(0, |(_, experts)| {
        let active = experts.active as u128;
        let visits = active.saturating_mul(block(experts.d_ff, true) + 2 * width * d);
        visits.saturating_add(block(experts.shared_d_ff, false) + width * experts.count as u128)
    });
    (rest.saturating_add(sparse), rest.saturating_add(block(config.d_ff, false)))
}

pub(super) fn bytes(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;
    use crate::model::{Details, Experts};

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
            // 16 x 4 instead, and embeddings of 6 x 4 x 4.
            (&rms, "lrt:rank=1", DType::Bf16, false, 1824),
            // One layer of 34 x 4 + 12 x 6 + 54 = 262 a token, and two inputs of 6 x 4 x 4.
            (&gated, "dense", DType::F32, true, 1980),
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
        // A mask of dropout beside 2 x 2 bytes of the embedding.
        let (masked, bare) = (3 * 4 * 5, 3 * 4 * 4);
        for (config, fused, a_token, embeddings) in [
            // 22 x 4 + 4 x 6, and scores of 7 x 2 x 3.
            (&encoder, true, 112, masked),
            (&encoder, false, 154, masked),
            (&decoder, true, 112, masked),
            // 22 x 4 + 22 x 6 + 42.
            (&decoder, false, 262, masked),
            // (20 + 8) x 4 + 2 x 4 x 6 + 42.
            (&gated, false, 202, bare),
        ] {
            let memory = of(config, Kernels::OneByOne, fused, DType::Bf16);
            // 12 bytes of 3 x 10 logits.
            assert_eq!((memory.activations, memory.logits), (3 * a_token + embeddings, 360), "{config:?}");
            let parameters = count_params(config, Arch::Dense);
            assert_eq!(memory.state, 18 * parameters, "a copy of each weight in 16 bits");
        }
        let eights = Config { vocab_size: 16, ..encoder.clone() };
        let logits = |config, kernels| of(config, kernels, true, DType::Bf16).logits;
        assert_eq!(logits(&encoder, Kernels::Fused), 120);
        assert_eq!((logits(&encoder, Kernels::Compiled), logits(&eights, Kernels::Compiled)), (180, 192));
        let (one, other) = [Kernels::OneByOne, Kernels::Compiled].map(|k| of(&encoder, k, false, DType::F32)).into();
        assert_eq!((one.activations, one.state), (other.activations, other.state), "f32 is not cast");
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
        assert_eq!(MemoryEstimate { state: 1, activations: 20, logits: 300 }.total(), 321);
        assert_eq!(MemoryEstimate { state: u64::MAX, activations: 1, logits: 1 }.total(), u64::MAX);
        assert_eq!(bytes(u128::from(u64::MAX) + 5), u64::MAX);
    }
}
