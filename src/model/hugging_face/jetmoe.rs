//! JetMoe, whose attention is a mixture of experts too.

use super::super::config::{Config, Family};
use super::super::extra::{Extra, ExtraKind, Place};
use super::super::shape::{Details, Experts, Norm, NormPlace, Positions};
use super::error::HuggingFaceError;
use super::keys::Keys;
use super::sizes::layers;

/// The shape of a JetMoe: each expert of attention has a linear of queries and one of the output (Shen et al. 2024, arXiv
/// 2404.07413), which its heads of keys and values serve.
pub(super) fn read(keys: &Keys) -> Result<Config, HuggingFaceError> {
    let n_layers = layers(keys)?;
    let (kv, width) = (keys.need("num_key_value_heads")?, keys.need("kv_channels")?);
    let (count, active) = (keys.need("num_local_experts")?, keys.need("num_experts_per_tok")?);
    let (d, d_ff) = (keys.need("hidden_size")?, keys.need("intermediate_size")?);
    let experts = Experts { count, active, d_ff, layers: None, shared_d_ff: 0, shared_gate: false, bias: false };
    let of_layer = |name, kind, size, times| Extra::new(name, Place::Layer, kind, size, times);
    let details = Details {
        tied_head: Some(keys.flag("tie_word_embeddings")?),
        n_kv_heads: Some(kv),
        head_dim: Some(width),
        norm: Some(Norm::Rms),
        norm_place: Some(NormPlace::Pre),
        positions: Some(Positions::Rotary),
        biases: Some(Vec::new()),
        experts: Some(experts),
        extra: vec![
            // Those that a token visits are counted as one linear of queries and one of the output.
            of_layer(
                "experts of attention that a token does not visit",
                ExtraKind::Values,
                [d.saturating_mul(2), kv.saturating_mul(width)],
                n_layers.saturating_mul(count.saturating_sub(active)),
            ),
            of_layer("router of attention", ExtraKind::Linear, [d, count], n_layers),
            of_layer("biases of both mixtures", ExtraKind::Values, [2, d], n_layers),
        ],
        ..Details::default()
    };
    let config = Config {
        family: Family::Decoder,
        n_layers,
        d_model: d,
        n_heads: kv.saturating_mul(active),
        d_ff,
        vocab_size: keys.need("vocab_size")?,
        max_seq_len: keys.need("max_position_embeddings")?,
        type_vocab_size: 0,
        gated_mlp: true,
        details,
    };
    Ok(config)
}
