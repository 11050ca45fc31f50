//! DBRX, whose keys are nested.

use super::super::config::{Config, Family};
use super::super::shape::{Details, Experts, Norm, NormPlace, Positions};
use super::error::HuggingFaceError;
use super::keys::Keys;
use super::sizes::{layers, model};

/// The shape of a DBRX.
pub(super) fn read(keys: &Keys) -> Result<Config, HuggingFaceError> {
    let n_layers = layers(keys)?;
    let ffn = |key: &str, usual: usize| keys.inner_number("ffn_config", key).map(|n| n.unwrap_or(usual));
    let d_ff = ffn("ffn_hidden_size", 3584)?;
    let (count, active) = (ffn("moe_num_experts", 4)?, ffn("moe_top_k", 1)?);
    let experts = Experts { count, active, d_ff, layers: None, shared_d_ff: 0, shared_gate: false, bias: false };
    let details = Details {
        tied_head: Some(keys.flag("tie_word_embeddings")?),
        n_kv_heads: Some(keys.inner_number("attn_config", "kv_n_heads")?.unwrap_or(1)),
        norm: Some(Norm::LayerWithoutBias),
        norm_place: Some(NormPlace::Pre),
        positions: Some(Positions::Rotary),
        biases: Some(Vec::new()),
        fused_qkv: true,
        experts: Some(experts),
        ..Details::default()
    };
    Ok(Config { gated_mlp: true, ..model(keys, Family::Decoder, n_layers, d_ff, details)? })
}
