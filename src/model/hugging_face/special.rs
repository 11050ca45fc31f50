//! What is left of types that are built as Llama is, and what no table says.

use super::super::config::{Config, Family};
use super::super::extra::{Extra, ExtraKind, Place};
use super::super::shape::{Bias, Latent, Window};
use super::error::HuggingFaceError;
use super::keys::Keys;

/// Numbers of a layer.
fn values(name: &str, [rows, width]: [usize; 2], times: usize) -> Extra {
    Extra::new(name, Place::Layer, ExtraKind::Values, [rows, width], times)
}

/// A linear of a layer.
fn linear(name: &str, size: [usize; 2], times: usize) -> Extra {
    Extra::new(name, Place::Layer, ExtraKind::Linear, size, times)
}

/// Adds to a shape what its type has beside it.
pub(super) fn complete(keys: &Keys, config: &mut Config) -> Result<(), HuggingFaceError> {
    let (layers, d, h) = (config.n_layers, config.d_model, config.n_heads);
    // Checked before anything is multiplied with it.
    config.check()?;
    let (d_head, kv) = (config.d_head(), config.n_kv_heads());
    let sparse = config.sparse().map_or(0, |(layers, _)| layers);
    let count = config.details.experts.map_or(0, |e| e.count);
    let mut extra = Vec::new();
    match keys.model_type {
        // Two numbers of each activation function are learned.
        "apertus" => extra.push(values("activation", [1, 2], layers)),
        "bitnet" => extra.push(values("norms within blocks", [1, d.saturating_add(config.d_ff)], layers)),
        "diffllama" => extra.push(values("lambdas", [4, d_head], layers)),
        "gpt_oss" | "granite_swa" => extra.push(values("sinks of attention", [1, h], layers)),
        "ernie4_5_moe" => extra.push(values("corrections of routers", [1, count], sparse)),
        "afmoe" => {
            extra.push(linear("gate of attention", [d, h.saturating_mul(d_head)], layers));
            extra.push(values("biases of experts", [1, count], sparse));
        }
        "stablelm" if keys.flag("qk_layernorm")? => {
            extra.push(values("norms of queries and keys", [h.saturating_add(kv), d_head], layers));
        }
        "hyperclovax" if keys.flag("use_post_norm")? => config.details.norms_per_layer = Some(4),
        "llama4_text" => config.d_ff = keys.need("intermediate_size_mlp")?,
        "minimax" => lightning(keys, config, &mut extra)?,
        "gemma3_text" | "gemma2" | "gemma" | "vaultgemma" if keys.flag("use_bidirectional_attention")? => {
            // A decoder that was trained on as an encoder: its attention sees both sides.
            config.family = Family::Encoder;
            config.details.heads = Some(super::super::shape::Heads::Causal);
            config.details.embedding_norm = Some(false);
        }
        _ => {}
    }
    config.details.extra.extend(extra);
    Ok(())
}

/// Every other layer of `MiniMax` attends linearly, block by block (Qin et al. 2024, arXiv 2401.04658): its keys and values have
/// as many heads as its queries, and its output is normalised and gated.
fn lightning(keys: &Keys, config: &mut Config, extra: &mut Vec<Extra>) -> Result<(), HuggingFaceError> {
    let is_linear = |of: &&serde_json::Value| of.as_str() == Some("linear_attention");
    let listed = keys.list("layer_types").map(|types| types.iter().take(config.n_layers).filter(is_linear).count());
    let layers = listed.unwrap_or(config.n_layers / 2);
    let (d, width) = (config.d_model, config.n_heads.saturating_mul(config.d_head()));
    let narrower = config.n_kv_heads().saturating_mul(config.d_head());
    extra.push(linear("more keys and values of linear attention", [d, 2 * width.saturating_sub(narrower)], layers));
    extra.push(linear("gate of linear attention", [d, width], layers));
    extra.push(values("norm of linear attention", [1, width], layers));
    let length = keys.number("block_size")?.unwrap_or(256);
    config.details.sliding_window = Some(Window { length, layers, global_every: None }).filter(|_| layers > 0);
    Ok(())
}

/// The latent attention of DeepSeek-V2 and of those after it.
pub(super) fn latent(keys: &Keys, config: &mut Config) -> Result<(), HuggingFaceError> {
    let value = match keys.number("v_head_dim")? {
        Some(value) => value,
        None => config.d_model / config.n_heads.max(1),
    };
    config.details.latent = Some(Latent {
        q_rank: keys.number("q_lora_rank")?,
        kv_rank: keys.need("kv_lora_rank")?,
        nope: keys.need("qk_nope_head_dim")?,
        rope: keys.need("qk_rope_head_dim")?,
        value,
    });
    // Their number and width say nothing here.
    (config.details.n_kv_heads, config.details.head_dim) = (None, None);
    if let Some(biases) = config.details.biases.as_mut() {
        biases.retain(|bias| *bias != Bias::Head);
    }
    Ok(())
}
