//! Encoders whose embeddings are narrower than their layers.

use super::super::extra::{Extra, ExtraKind, Place};
use super::super::shape::{Bias, Details, Heads, Positions};
use super::deberta::table;
use super::error::HuggingFaceError;
use super::keys::Keys;

/// Embeddings that are narrower than the layers, and what else these types do to positions.
pub(super) fn narrow(keys: &Keys, d: usize, details: &mut Details) -> Result<(), HuggingFaceError> {
    let key = if keys.model_type == "rembert" { "input_embedding_size" } else { "embedding_size" };
    let width = keys.number(key)?.unwrap_or(d);
    details.d_embedding = Some(width).filter(|width| *width != d);
    let project = |kind| Extra::new("projection of the embeddings", Place::Embedding, kind, [width, d], 1);
    match keys.model_type {
        "albert" => details.extra.push(project(ExtraKind::LinearWithBias)),
        "rembert" => {
            details.extra.push(project(ExtraKind::LinearWithBias));
            rembert_head(keys, d, width, details)?;
        }
        "convbert" | "electra" | "roformer" if width != d => details.extra.push(project(ExtraKind::LinearWithBias)),
        "deberta" | "deberta-v2" if width != d => {
            details.extra.push(project(ExtraKind::Linear));
            // The sum of the embeddings is normalised after it.
            details.embedding_norm = Some(false);
            details.extra.push(Extra::new("norm of the embeddings", Place::Embedding, ExtraKind::Values, [2, d], 1));
        }
        _ => {}
    }
    if keys.model_type == "roformer" {
        // Computed, and yet a parameter of transformers' own: a row of a head's width for each position.
        details.positions = Some(Positions::Sinusoidal);
        let head = d / keys.need("num_attention_heads")?.max(1);
        details.extra.push(table("rotary positions", keys.need("max_position_embeddings")?, head));
    }
    Ok(())
}

/// RemBERT's head has a width of its own, and is not tied.
fn rembert_head(keys: &Keys, d: usize, width: usize, details: &mut Details) -> Result<(), HuggingFaceError> {
    let (own, vocab) = (keys.need("output_embedding_size")?, keys.need("vocab_size")?);
    let of = |name, kind, size| Extra::new(name, Place::Head, kind, size, 1);
    details.heads = Some(Heads::Causal);
    details.biases = Some(vec![Bias::Qkv, Bias::Output, Bias::Mlp]);
    details.extra.push(of("masked-LM transform", ExtraKind::LinearWithBias, [d, own]));
    details.extra.push(of("norm of the masked-LM transform", ExtraKind::Values, [2, own]));
    // The decoder: as wide as the table where both are, or counted as what it is wider by.
    details.tied_head = Some(false);
    details.extra.push(of(
        "wider LM decoder and its biases",
        ExtraKind::LinearWithBias,
        [own.saturating_sub(width), vocab],
    ));
    Ok(())
}
