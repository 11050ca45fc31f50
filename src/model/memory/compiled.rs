//! What compiled and hand-made kernels keep: what is element-wise is computed again from what products need.

use super::layer::{Held, mask_bytes};
use crate::model::Config;

/// Bytes that a token's embedding keeps: the sum and what is made of it, and a mask of dropout.
#[must_use]
pub fn embedding_bytes(config: &Config, width: u128) -> u128 {
    config.d_model as u128 * (2 * width + mask_bytes(config))
}

/// Bytes that a sparse and a dense layer keep for each token, after Korthikanti et al. 2022 (arXiv 2205.05198, equation 1):
/// `d (34 + 5 a s / d)` with 16-bit activations and 1-byte dropout masks, and `d (66 + 9 a s / d)` with 32-bit ones, of which a
/// feed-forward block of width 4 d has 16 and 32. A Linformer keeps k columns of scores instead of s; LRT keeps an inner activation of
/// `rank` for each linear.
///
/// Of the `34 d` of the equation 8 are queries, keys, values and the input of the output's linear, which are narrower or wider with heads
/// of their own size and number, and 4 the inputs of two norms, and 2 the masks of dropout. A gated block keeps the gate, what it gates,
/// and for the last product both together.
pub(super) fn layers(held: &Held<'_>) -> (u128, u128) {
    let (config, width, d) = (held.config, held.width, held.d());
    let mask = mask_bytes(config);
    let inputs = if width == 2 { 4 } else { 8 };
    let norms = width * config.norms_per_layer() as u128;
    let rest = (inputs + norms + 2 * mask) * d + width * (held.heads(config.n_kv_heads()) + held.normed_queries());
    // A score's softmax, and with dropout its mask and what is left of it.
    let of_score = width + mask * (1 + width);
    held.layers(rest, of_score, |d_ff, routed| {
        let spared = if held.spares_block_inputs(routed) { width * (d + d_ff) } else { 0 };
        ((2 + held.gate()) * width * d_ff).saturating_sub(spared)
    })
}
