//! What stock PyTorch keeps, whose operations run one by one, as the modules of transformers call them. In 16 bits `torch.autocast` casts
//! over f32 weights: linears and attention compute in 16 bits, norms, softmax and powers in f32, and what adds both up is f32. Weights of 16
//! bits need no casts, and everything but what casts itself keeps 16 bits.

use super::layer::{Held, mask_bytes};
use crate::model::arch::LoraTargets;
use crate::model::{Arch, Family, Heads, Norm, Positions, StepShape, trainable_params};

/// Bytes of a number in f32.
const WIDE: u128 = 4;

/// Bytes of the copies of trained weights that `torch.autocast` keeps from their first use in the forward pass to their last in the
/// backward pass (Hugging Face, "Model training anatomy").
pub(super) fn weight_copies(held: &Held<'_>) -> u64 {
    if held.is_cast() { trainable_params(held.config, held.arch).saturating_mul(2) } else { 0 }
}

/// Bytes of a number of the residual stream. What linears give in 16 bits is added to embeddings and norms of f32, which makes it f32,
/// unless the model is frozen, or trained, with embeddings in 16 bits.
pub(super) fn residual_width(held: &Held<'_>) -> u128 {
    if held.is_cast() && !held.is_frozen() { WIDE } else { held.width }
}

/// Tensors that linears with one input keep of it: each casts it for itself, and without casts they share it.
fn copies(held: &Held<'_>, linears: u128) -> u128 {
    if held.is_cast() { linears } else { linears.min(1) }
}

/// Bytes that a norm keeps of each number: its input, in f32 where `torch.autocast` casts it or the norm does so itself, which those by a
/// root mean square do; these have operations of their own, and keep the quotient for the gradient of their weight, in the `input` bytes
/// of what they were given.
fn norm_bytes(held: &Held<'_>, input: u128) -> u128 {
    let is_rms = held.config.details.norm == Some(Norm::Rms);
    let of_input = if is_rms || held.is_cast() { WIDE } else { held.width };
    of_input + if is_rms && !held.is_frozen() { input } else { 0 }
}

/// Bytes that a sparse and a dense layer keep for each token:
///
/// - the inputs of norms, in f32, and the quotients of those that divide by a root mean square;
/// - the inputs of queries, keys and values, and of the feed-forward block: in 16 bits a copy for each linear;
/// - queries, keys, values and the output of attention, which is the input of the next linear; keys and values are repeated for the
///   queries that share them where attention is composed, whose softmax leaves f32, a mask, and what the next product takes;
/// - two masks of dropout;
/// - what is inside the feed-forward block.
///
/// LoRA keeps inputs of the linears that have pairs alone, and casts them for each pair, the output of attention too.
pub(super) fn layers(held: &Held<'_>) -> (u128, u128) {
    let (config, width, d) = (held.config, held.width, held.d());
    let mask = mask_bytes(config);
    let (of_qkv, of_block) = config.linears_in();
    let (of_qkv, of_block) = (of_qkv as u128, of_block as u128);
    let (of_qkv, of_output, of_block) = match held.arch {
        Arch::Lora { targets: LoraTargets::QueryValue, .. } => (of_qkv.min(2), 0, 0),
        Arch::Lora { targets: LoraTargets::AllLinear, .. } if held.is_cast() => (of_qkv, 1, of_block),
        _ => (of_qkv, 0, of_block),
    };
    let norms = config.norms_per_layer() as u128 * d * norm_bytes(held, residual_width(held));
    let inputs = width * d * (copies(held, of_qkv) + copies(held, of_block));
    let output = width * of_output * config.n_heads as u128 * config.d_value() as u128;
    let of_keys = if held.saving.fused_attention { config.n_kv_heads() } else { config.n_heads };
    // Values that are a part of one matrix keep all of it, beside the queries and keys that rotary positions have made of theirs.
    let is_turned = config.details.fused_qkv && config.positions() == Positions::Rotary;
    let turned = if is_turned { (config.n_heads + config.n_kv_heads()) as u128 * config.d_head() as u128 } else { 0 };
    let queries = width * (held.heads(of_keys) + turned) + norm_bytes(held, width) * held.normed_queries();
    // Decoders compute their softmax in f32 whatever the weights are.
    let is_wide = held.is_cast() || width == 2 && config.family == Family::Decoder;
    let of_score = if is_wide { WIDE + width + mask } else { width + mask * (1 + width) };
    held.layers(norms + inputs + output + queries + 2 * mask * d, of_score, |d_ff, routed| {
        let into_last = if held.spares_block_inputs(routed) { 0 } else { width };
        d_ff * (activation_bytes(held) + into_last)
    })
}

/// Bytes that the activation of a feed-forward block keeps of each number inside, without the input of the last product. A gate keeps what
/// goes into its activation, what comes out, and what it gates. A rectifier keeps what comes out, and so nothing of its own. GELU's tanh
/// form in separate operations (`gelu_new`, of GPT-2 as transformers has it) keeps what is cubed, the tanh, and both factors of its last
/// product, all but the first factor in f32.
fn activation_bytes(held: &Held<'_>) -> u128 {
    let (config, width) = (held.config, held.width);
    if config.gated_mlp {
        return 3 * width;
    }
    // What describes a decoder without its activation and has attention composed is taken for such a GPT-2.
    let unsaid = config.family == Family::Decoder && !held.saving.fused_attention && width == 2;
    let composed = 3 * if held.is_cast() { WIDE } else { width } + width;
    match config.details.activation.as_deref() {
        Some(_) if config.has_composed_activation() => composed,
        None if unsaid => composed,
        Some("relu") => 0,
        _ => width,
    }
}

/// Bytes that is kept outside the layers: norms of embeddings and of the last layer, a mask of dropout, and the inputs of the head's
/// operations.
pub(super) fn ends(held: &Held<'_>, shape: StepShape) -> u128 {
    let (config, width, d) = (held.config, held.width, held.d());
    let norms = u128::from(config.has_embedding_norm()) + u128::from(config.has_final_norm());
    let of_token = d * (mask_bytes(config) + norms * norm_bytes(held, residual_width(held)));
    let of_loss = match config.heads() {
        Heads::Causal => width * d,
        Heads::Pretraining | Heads::MaskedLm => (3 * width + norm_bytes(held, width)) * d,
    };
    let (tokens, losses) = (shape.batch_size * shape.seq_len, shape.batch_size * shape.masked_per_seq);
    tokens as u128 * of_token + losses as u128 * of_loss
}
