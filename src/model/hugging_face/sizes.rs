//! The sizes that all types have.

use super::super::check::ConfigError;
use super::super::config::{Config, Family, MAX_LAYERS};
use super::super::shape::{Details, Norm};
use super::error::HuggingFaceError;
use super::keys::Keys;

/// The number of layers: checked at once, since lists are as long.
pub(super) fn layers(keys: &Keys) -> Result<usize, HuggingFaceError> {
    let value = keys.need("num_hidden_layers")?;
    if value == 0 || value > MAX_LAYERS {
        return Err(ConfigError::Dimension { name: "num_hidden_layers", value, least: 1, most: MAX_LAYERS }.into());
    }
    Ok(value)
}

/// A model of these details, with the width, heads, vocabulary and length that the keys say.
pub(super) fn model(
    keys: &Keys,
    family: Family,
    n_layers: usize,
    d_ff: usize,
    details: Details,
) -> Result<Config, HuggingFaceError> {
    let (d_model, n_heads) = (keys.need("hidden_size")?, keys.need("num_attention_heads")?);
    let n_kv_heads = match details.n_kv_heads {
        Some(n) => Some(n),
        None => keys.number("num_key_value_heads")?,
    };
    let head_dim = match details.head_dim {
        Some(d) => Some(d),
        // These alone have heads that need not divide the width, and are narrower then.
        None if matches!(keys.model_type, "glm4_moe" | "glm4v_moe_text" | "sarvam_moe") => {
            Some(keys.number("head_dim")?.unwrap_or(d_model / n_heads.max(1)))
        }
        None => keys.number("head_dim")?,
    };
    Ok(Config {
        family,
        n_layers,
        d_model,
        n_heads,
        d_ff,
        vocab_size: keys.need("vocab_size")?,
        max_seq_len: keys.number_or("max_position_embeddings", 2048)?,
        type_vocab_size: 0,
        gated_mlp: false,
        details: Details {
            activation: activation(keys).or(details.activation),
            dropout: dropout(keys).filter(|has| *has != (details.norm != Some(Norm::Rms))),
            n_kv_heads: n_kv_heads.filter(|n| *n != n_heads),
            head_dim: head_dim.filter(|d| d.checked_mul(n_heads) != Some(d_model)),
            ..details
        },
    })
}

fn activation(keys: &Keys) -> Option<String> {
    let names = ["hidden_act", "hidden_activation", "activation_function", "activation"];
    let found = names.into_iter().find_map(|name| keys.aside(name))?;
    Some(found.chars().take(40).collect())
}

/// Whether the residual stream has dropout, or where that is not said, attention.
fn dropout(keys: &Keys) -> Option<bool> {
    let residual = [
        "hidden_dropout_prob",
        "hidden_dropout",
        "resid_pdrop",
        "resid_dropout",
        "residual_dropout",
        "dropout",
        "mlp_dropout",
    ];
    let attention = ["attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"];
    let found = keys.aside_value(&residual).or_else(|| keys.aside_value(&attention))?;
    Some(found.as_f64()? > 0.0)
}
