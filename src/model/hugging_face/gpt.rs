//! Decoders that are built as GPT-2 is, and those of its time.

use super::super::config::{Config, Family};
use super::super::extra::{Extra, ExtraKind, Place};
use super::super::shape::{Bias, Details, Norm, NormPlace, Positions, Window};
use super::error::HuggingFaceError;
use super::keys::Keys;
use super::sizes::{layers, model};

/// The types that are read here.
pub(super) const GPTS: [&str; 15] = [
    "biogpt",
    "bloom",
    "codegen",
    "ctrl",
    "falcon",
    "gpt-sw3",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox_japanese",
    "gptj",
    "mpt",
    "openai-gpt",
    "opt",
    "xglm",
];

const ALL: [Bias; 3] = [Bias::Qkv, Bias::Output, Bias::Mlp];

/// The shape of one of these.
pub(super) fn read(keys: &Keys) -> Result<Config, HuggingFaceError> {
    let n_layers = layers(keys)?;
    let (d, n_heads) = (keys.need("hidden_size")?, keys.need("num_attention_heads")?);
    let tied = Some(keys.flag("tie_word_embeddings")?);
    let mut details = Details {
        tied_head: tied,
        norm: Some(Norm::Layer),
        norm_place: Some(NormPlace::Pre),
        positions: Some(Positions::Learned),
        biases: Some(ALL.to_vec()),
        ..Details::default()
    };
    let four_times = d.saturating_mul(4);
    let inner = match keys.model_type {
        "gpt_neo" | "biogpt" => keys.number("intermediate_size")?,
        "gpt2" | "gpt-sw3" | "gpt_bigcode" | "gptj" | "codegen" => keys.number("n_inner")?,
        // The others have keys of their own, or none.
        _ => None,
    };
    let mut d_ff = inner.unwrap_or(four_times);
    match keys.model_type {
        "gpt2" | "gpt-sw3" => {
            details.fused_qkv = true;
            no_cross_attention(keys)?;
        }
        "openai-gpt" => {
            details.fused_qkv = true;
            (details.norm_place, details.final_norm) = (Some(NormPlace::Post), Some(false));
        }
        "gpt_bigcode" => {
            details.fused_qkv = true;
            details.n_kv_heads = Some(if keys.flag("multi_query")? { 1 } else { n_heads });
            no_cross_attention(keys)?;
        }
        "gpt_neo" => {
            details.biases = Some(vec![Bias::Output, Bias::Mlp]);
            details.sliding_window = local_layers(keys, n_layers)?;
        }
        "gptj" | "codegen" => {
            details.biases = Some(vec![Bias::Mlp, Bias::Head]);
            (details.norms_per_layer, details.positions) = (Some(1), Some(Positions::Rotary));
            details.fused_qkv = keys.model_type == "codegen";
        }
        "ctrl" => {
            d_ff = keys.need("dff")?;
            details.positions = Some(Positions::Sinusoidal);
            details.biases = Some([ALL.as_slice(), &[Bias::Head]].concat());
        }
        "biogpt" | "xglm" => {
            let learned = keys.model_type == "biogpt";
            if !learned {
                d_ff = keys.need("ffn_dim")?;
            }
            // Two rows more than positions, of which the first is at row 2.
            details.n_positions = Some(keys.need("max_position_embeddings")?.saturating_add(2)).filter(|_| learned);
            details.positions = Some(if learned { Positions::Learned } else { Positions::Sinusoidal });
            no_cross_attention(keys)?;
        }
        "bloom" => {
            details.fused_qkv = true;
            details.activation = Some("gelu".to_owned());
            (details.positions, details.embedding_norm) = (Some(Positions::Alibi), Some(true));
        }
        "mpt" => {
            // `expansion_ratio` is 4 in all of them, and not read by transformers.
            details.fused_qkv = true;
            details.activation = Some("gelu".to_owned());
            (details.positions, details.norm) = (Some(Positions::Alibi), Some(Norm::LayerWithoutBias));
            details.biases = Some(Vec::new());
        }
        "gpt_neox_japanese" => {
            d_ff = d.saturating_mul(keys.number("intermediate_multiple_size")?.unwrap_or(4));
            details.fused_qkv = true;
            (details.positions, details.biases) = (Some(Positions::Rotary), Some(Vec::new()));
            // The last layer alone has a bias, of its attention's output.
            details.extra.push(Extra::new("bias of the last attention", Place::Layer, ExtraKind::Values, [1, d], 1));
        }
        "opt" => {
            d_ff = keys.need("ffn_dim")?;
            opt(keys, d, &mut details)?;
        }
        "falcon" => d_ff = falcon(keys, n_heads, four_times, &mut details)?,
        _ => {}
    }
    model(keys, Family::Decoder, n_layers, d_ff, details)
}

/// A decoder that looks at an encoder's output is half of another model.
pub(super) fn no_cross_attention(keys: &Keys) -> Result<(), HuggingFaceError> {
    if keys.flag("add_cross_attention")? {
        return Err(HuggingFaceError::Refused {
            model_type: keys.model_type.to_owned(),
            reason:
                "`add_cross_attention` makes it the decoder of an encoder-decoder, and encoder-decoder is not supported"
                    .to_owned(),
        });
    }
    Ok(())
}

/// GPT-Neo's layers, as lists of kinds and of how often each list is repeated.
fn local_layers(keys: &Keys, n_layers: usize) -> Result<Option<Window>, HuggingFaceError> {
    let mut kinds = Vec::new();
    for group in keys.list("attention_types").unwrap_or_default() {
        let (list, times) = (group.get(0).and_then(|l| l.as_array()), group.get(1).and_then(serde_json::Value::as_u64));
        for _ in 0..times.unwrap_or(0).min(n_layers as u64) {
            kinds.extend(list.into_iter().flatten().take(n_layers).map(|kind| kind.as_str() == Some("local")));
            if kinds.len() >= n_layers {
                break;
            }
        }
    }
    let layers = if kinds.is_empty() {
        n_layers / 2
    } else {
        kinds.into_iter().take(n_layers).filter(|is_local| *is_local).count()
    };
    let length = keys.number("window_size")?.unwrap_or(256);
    Ok(Some(Window { length, layers, global_every: None }).filter(|_| layers > 0))
}

fn opt(keys: &Keys, d: usize, details: &mut Details) -> Result<(), HuggingFaceError> {
    // Two rows more than positions, of which the first is at row 2.
    details.n_positions = Some(keys.need("max_position_embeddings")?.saturating_add(2));
    if !keys.flag("enable_bias")? {
        details.biases = Some(Vec::new());
    }
    if !keys.flag("layer_norm_elementwise_affine")? {
        details.norm = Some(Norm::WithoutWeights);
    }
    let norm_before = keys.flag("do_layer_norm_before")?;
    details.norm_place = Some(if norm_before { NormPlace::Pre } else { NormPlace::Post });
    details.final_norm = Some(norm_before && !keys.flag("_remove_final_layer_norm")?);
    details.embedding_norm = Some(false);
    if let Some(narrow) = keys.number("word_embed_proj_dim")?.filter(|narrow| *narrow != d) {
        details.d_embedding = Some(narrow);
        details.extra = vec![
            Extra::new("projection of the embeddings", Place::Embedding, ExtraKind::Linear, [narrow, d], 1),
            Extra::new("projection to the head", Place::Head, ExtraKind::Linear, [d, narrow], 1),
        ];
        // The table of positions is as wide as the layers.
        let rows = details.n_positions.take().unwrap_or_default();
        details.positions = Some(Positions::None);
        details.extra.push(Extra::new("position embedding", Place::Embedding, ExtraKind::Table, [rows, d], 1));
    }
    Ok(())
}

fn falcon(keys: &Keys, n_heads: usize, four_times: usize, details: &mut Details) -> Result<usize, HuggingFaceError> {
    let alibi = keys.flag("alibi")?;
    let new = keys.flag("new_decoder_architecture")?;
    details.positions = Some(if alibi { Positions::Alibi } else { Positions::Rotary });
    details.fused_qkv = true;
    details.biases = Some(if keys.flag("bias")? { ALL.to_vec() } else { Vec::new() });
    details.n_kv_heads = if new {
        Some(keys.number("num_kv_heads")?.unwrap_or(n_heads))
    } else if keys.flag("multi_query")? {
        Some(1)
    } else {
        Some(n_heads)
    };
    let norms = keys.number("num_ln_in_parallel_attn")?.unwrap_or(if new { 2 } else { 1 });
    details.norms_per_layer = Some(if keys.flag("parallel_attn")? && norms != 2 { 1 } else { 2 });
    Ok(keys.number("ffn_hidden_size")?.unwrap_or(four_times))
}
