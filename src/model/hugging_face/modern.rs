//! ModernBERT (Warner et al. 2024, arXiv 2412.13663), as encoder and as decoder.

use super::super::config::{Config, Family};
use super::super::shape::{Bias, Details, Heads, Norm, NormPlace, Positions, Window};
use super::error::HuggingFaceError;
use super::keys::Keys;
use super::sizes::{layers, model};

/// The types that are read here.
pub(super) const MODERN: [&str; 2] = ["modernbert", "modernbert-decoder"];

/// The shape of either.
pub(super) fn read(keys: &Keys) -> Result<Config, HuggingFaceError> {
    let n_layers = layers(keys)?;
    let d_ff = keys.need("intermediate_size")?;
    let is_encoder = keys.model_type == "modernbert";
    let norm = if keys.flag("norm_bias")? { Norm::Layer } else { Norm::LayerWithoutBias };
    let mut biases = Vec::new();
    for (key, of) in [
        ("attention_bias", &[Bias::Qkv, Bias::Output][..]),
        ("mlp_bias", &[Bias::Mlp]),
        ("classifier_bias", &[Bias::Transform]),
        ("decoder_bias", &[Bias::Head]),
    ] {
        if keys.flag(key)? {
            biases.extend(of);
        }
    }
    let every = keys.number("global_attn_every_n_layers")?.unwrap_or(3).max(1);
    let is_local = |of: &serde_json::Value| of.as_str() == Some("sliding_attention");
    let listed: Option<Vec<bool>> =
        keys.list("layer_types").map(|types| types.iter().take(n_layers).map(is_local).collect());
    let (layers, global_every) = match &listed {
        Some(listed) => (listed.iter().filter(|is_local| **is_local).count(), period(listed)),
        None => (Window::layers_but_every(n_layers, every), Some(every)),
    };
    // As far to both sides as half of `local_attention`, and the token itself; in a decoder to one side.
    let reach = keys.number("local_attention")?.unwrap_or(128) / 2;
    let length = if is_encoder { reach.saturating_mul(2).saturating_add(1) } else { reach };
    let details = Details {
        heads: Some(Heads::MaskedLm),
        tied_head: Some(keys.flag("tie_word_embeddings")?),
        norm: Some(norm),
        norm_place: Some(NormPlace::Pre),
        first_norm: Some(false),
        embedding_norm: Some(true),
        positions: Some(Positions::Rotary),
        biases: Some(biases),
        fused_qkv: is_encoder,
        fused_gate: true,
        sliding_window: Some(Window { length, layers, global_every }).filter(|_| layers > 0 && length > 0),
        ..Details::default()
    };
    let family = if is_encoder { Family::Encoder } else { Family::Decoder };
    Ok(Config { gated_mlp: true, ..model(keys, family, n_layers, d_ff, details)? })
}

/// Each how many-th layer sees all, if that is so from the first one on: the least number that it can be.
fn period(is_local: &[bool]) -> Option<usize> {
    let fits = |every: &usize| is_local.iter().enumerate().all(|(i, is_local)| *is_local != i.is_multiple_of(*every));
    (1..=is_local.len()).find(fits)
}
