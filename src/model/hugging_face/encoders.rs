//! Encoders: what each differs in from BERT.

use super::super::config::{Config, Family};
use super::super::extra::{Extra, ExtraKind, Place};
use super::super::shape::{Bias, Details, Heads, Norm, NormPlace, Positions};
use super::convbert::convolutions;
use super::deberta::{deberta, table, values};
use super::error::HuggingFaceError;
use super::gpt::no_cross_attention;
use super::keys::Keys;
use super::narrow::narrow;
use super::sizes::{layers, model};

/// The types that are read here.
pub(super) const ENCODERS: [&str; 29] = [
    "albert",
    "bert",
    "bert-generation",
    "big_bird",
    "camembert",
    "convbert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "esm",
    "eurobert",
    "gte",
    "ibert",
    "layoutlm",
    "longformer",
    "megatron-bert",
    "mpnet",
    "nomic_bert",
    "nystromformer",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roformer",
    "xlm-roberta",
    "xlm-roberta-xl",
    "yoso",
];

/// RoBERTa's position table begins at the row after that of padding: two rows serve no position.
const OFFSET: [&str; 10] = [
    "roberta",
    "xlm-roberta",
    "camembert",
    "mpnet",
    "data2vec-text",
    "ibert",
    "longformer",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
    "esm",
];
/// Norms stand before their blocks.
const PRE: [&str; 5] = ["megatron-bert", "xlm-roberta-xl", "roberta-prelayernorm", "esm", "eurobert"];
/// No table of segments.
const WITHOUT_SEGMENTS: [&str; 5] = ["bert-generation", "distilbert", "mpnet", "esm", "eurobert"];

/// Heads whose bias is tied to that of their decoder, as its matrix is to the embedding.
const TWO_BIASES: [&str; 22] = [
    "albert",
    "bert",
    "bert-generation",
    "big_bird",
    "camembert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "ernie",
    "ibert",
    "layoutlm",
    "longformer",
    "megatron-bert",
    "mpnet",
    "nystromformer",
    "nomic_bert",
    "roberta",
    "roberta-prelayernorm",
    "roformer",
    "xlm-roberta",
    "xlm-roberta-xl",
    "yoso",
];

/// The shape of one of these.
pub(super) fn read(keys: &Keys) -> Result<Config, HuggingFaceError> {
    let n_layers = layers(keys)?;
    let (d, of) = (keys.need("hidden_size")?, keys.model_type);
    no_cross_attention(keys)?;
    let d_ff = if of == "distilbert" { keys.need("hidden_dim")? } else { keys.need("intermediate_size")? };
    let rows = keys.need("max_position_embeddings")?;
    // DeBERTa's newer head takes the table itself.
    let is_new_head = matches!(of, "deberta" | "deberta-v2") && !keys.flag("legacy")?;
    let mut details = Details {
        heads: Some(Heads::MaskedLm),
        tied_head: Some(is_new_head || keys.flag("tie_word_embeddings")?),
        norm: Some(Norm::Layer),
        norm_place: Some(if PRE.contains(&of) { NormPlace::Pre } else { NormPlace::Post }),
        positions: Some(Positions::Learned),
        n_positions: Some(rows).filter(|_| OFFSET.contains(&of)),
        embedding_norm: Some(!matches!(of, "megatron-bert" | "xlm-roberta-xl" | "eurobert")),
        ..Details::default()
    };
    let mut gated = false;
    if TWO_BIASES.contains(&of) && details.tied_head == Some(false) {
        // An untied decoder has a bias of its own, beside that of the head.
        let vocab = keys.need("vocab_size")?;
        details.extra.push(Extra::new(
            "second biases over the vocabulary",
            Place::Head,
            ExtraKind::Values,
            [1, vocab],
            1,
        ));
    }
    match of {
        "albert" | "convbert" | "electra" | "rembert" | "roformer" | "deberta" | "deberta-v2" => {
            narrow(keys, d, &mut details)?;
        }
        "bert-generation" => details.heads = Some(Heads::Causal),
        "nomic_bert" => {
            gated = true;
            details.biases = Some(vec![Bias::Transform, Bias::Head]);
            details.positions = Some(Positions::Rotary);
        }
        "gte" => {
            gated = true;
            details.positions = Some(Positions::Rotary);
            details.biases = Some(vec![Bias::Qkv, Bias::Output, Bias::Transform, Bias::Head]);
            details.extra.push(values("bias of the feed-forward block's output", [1, d], n_layers));
        }
        "eurobert" => {
            gated = true;
            details.heads = Some(Heads::Causal);
            details.norm = Some(Norm::Rms);
            details.positions = Some(Positions::Rotary);
            let mut biases = Vec::new();
            if keys.flag("attention_bias")? {
                biases.extend([Bias::Qkv, Bias::Output]);
            }
            if keys.flag("mlp_bias")? {
                biases.extend([Bias::Mlp, Bias::Head]);
            }
            details.biases = Some(biases);
        }
        "esm" => esm(keys, n_layers, &mut details)?,
        _ => {}
    }
    more(keys, n_layers, d, &mut details)?;
    if matches!(of, "albert") {
        // A group of layers may have several of its own.
        let own = keys.need("num_hidden_groups")?.saturating_mul(keys.need("inner_group_num")?);
        if keys.need("inner_group_num")? != 1 {
            return Err(HuggingFaceError::Refused {
                model_type: of.to_owned(),
                reason: "groups of several layers (`inner_group_num`) are not modelled".to_owned(),
            });
        }
        details.distinct_layers = Some(own);
    }
    let mut config = model(keys, Family::Encoder, n_layers, d_ff, details)?;
    if of == "convbert" {
        convolutions(keys, &mut config)?;
    }
    config.gated_mlp = gated;
    config.type_vocab_size =
        if WITHOUT_SEGMENTS.contains(&of) { 0 } else { keys.number("type_vocab_size")?.unwrap_or(0) };
    if OFFSET.contains(&of) {
        config.max_seq_len = rows.saturating_sub(2).max(1);
    }
    if matches!(config.details.n_positions, Some(n) if n == config.max_seq_len) {
        config.details.n_positions = None;
    }
    Ok(config)
}

fn esm(keys: &Keys, n_layers: usize, details: &mut Details) -> Result<(), HuggingFaceError> {
    // Contacts between residues are predicted from the attention of every head.
    let maps = n_layers.saturating_mul(keys.need("num_attention_heads")?);
    details.extra.push(Extra::new("contact head", Place::Head, ExtraKind::Values, [1, maps.saturating_add(1)], 1));
    let absolute = keys.text("position_embedding_type") == Some("absolute");
    if !absolute {
        (details.positions, details.n_positions) = (Some(Positions::Rotary), None);
    }
    details.embedding_norm = Some(keys.flag("emb_layer_norm_before")?);
    if keys.flag("is_folding_model")? {
        return Err(HuggingFaceError::Refused {
            model_type: "esm".to_owned(),
            reason: "a folding model is not a text model".to_owned(),
        });
    }
    Ok(())
}

/// What else some types have.
fn more(keys: &Keys, n_layers: usize, d: usize, details: &mut Details) -> Result<(), HuggingFaceError> {
    let pooler = || Extra::new("pooler", Place::Pooler, ExtraKind::LinearWithBias, [d, d], 1);
    let rows = keys.need("max_position_embeddings")?;
    let (heads, of) = (keys.need("num_attention_heads")?, keys.model_type);
    match of {
        "big_bird" => {
            details.extra.push(pooler());
            if !keys.flag("use_bias")? {
                details.biases = Some(vec![Bias::Output, Bias::Mlp, Bias::Transform, Bias::Head]);
            }
        }
        "layoutlm" => {
            details.extra.push(pooler());
            let boxes = keys.need("max_2d_position_embeddings")?;
            details.extra.push(table("positions on the page", boxes.saturating_mul(4), d));
        }
        "ernie" if keys.flag("use_task_id")? => {
            details.extra.push(table("task embedding", keys.need("task_type_vocab_size")?, d));
        }
        "mpnet" => {
            let buckets = keys.need("relative_attention_num_buckets")?;
            details.extra.push(table("relative attention bias", buckets, heads));
        }
        "yoso" | "nystromformer" => {
            details.n_positions = Some(rows.saturating_add(2));
            let key = if of == "yoso" { "conv_window" } else { "conv_kernel_size" };
            if let Some(window) = keys.number(key)? {
                details.extra.push(values("convolution of attention", [heads, window], n_layers));
            }
        }
        "longformer" => {
            let size = [d, d.saturating_mul(3)];
            let name = "query, key and value of global attention";
            details.extra.push(Extra::new(name, Place::Layer, ExtraKind::LinearWithBias, size, n_layers));
        }
        "deberta" | "deberta-v2" => deberta(keys, n_layers, d, details)?,
        _ => {}
    }
    Ok(())
}
