//! Shapes as files write them: this program's own keys, and those of Hugging Face's `config.json`.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::config::{Config, ConfigError, Family, MAX_HEADS, MAX_LAYERS, MAX_ROWS, MAX_WIDTH};
use crate::units::whole;

/// The dimensions, by their names here and elsewhere.
const DIMENSIONS: [(&str, &[&str]); 7] = [
    ("n_layers", &["num_hidden_layers", "n_layer"]),
    ("d_model", &["hidden_size", "n_embd"]),
    ("n_heads", &["num_attention_heads", "n_head"]),
    ("d_ff", &["intermediate_size", "n_inner"]),
    ("vocab_size", &[]),
    ("max_seq_len", &["max_position_embeddings", "n_positions"]),
    ("type_vocab_size", &[]),
];

/// Keys of a `config.json` that have no part in what a step costs.
const WITHOUT_COST: [&str; 32] = [
    "_name_or_path",
    "activation_function",
    "architectures",
    "attn_implementation",
    "auto_map",
    "bos_token_id",
    "chunk_size_feed_forward",
    "directionality",
    "dtype",
    "finetuning_task",
    "hidden_act",
    "hidden_activation",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "label2id",
    "n_ctx",
    "num_labels",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "reorder_and_upcast_attn",
    "return_dict",
    "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "use_cache",
    "use_return_dict",
];
/// How others of them begin and end.
const BEGINNINGS: [&str; 5] = ["output_", "summary_", "pooler_", "_attn_", "_commit"];
const ENDINGS: [&str; 6] = ["_dropout", "_dropout_prob", "_pdrop", "_token_id", "_eps", "_epsilon"];

/// Models of other makers that are built like BERT, and like GPT-2.
const ENCODERS: [&str; 4] = ["bert", "roberta", "xlm-roberta", "camembert"];
const DECODERS: [&str; 1] = ["gpt2"];

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor)
    }
}

/// A dimension. `n_inner: null` of GPT-2 is the usual one.
struct Dimension(Option<usize>);

impl<'de> Deserialize<'de> for Dimension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::units::whole_or_none(deserializer).map(Self)
    }
}

/// Reads and checks while the parser is still inside the shape, so that an error bears its line.
struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape of a model: `{n_layers: .., d_model: .., n_heads: .., d_ff: .., vocab_size: .., max_seq_len: ..}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut dimensions: [Option<usize>; DIMENSIONS.len()] = [None; DIMENSIONS.len()];
        let (mut family, mut gated_mlp) = (None, None);
        let mut seen: Vec<String> = Vec::new();
        // What changes the cost and is not modelled, and what nobody knows: all are named at once.
        let (mut changes, mut unknown): (Vec<(String, Value)>, Vec<String>) = (Vec::new(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            let dimension = DIMENSIONS.iter().position(|(own, others)| *own == key || others.contains(&key.as_str()));
            // Two names of one dimension are one key that is there twice.
            let own = dimension.map_or(key.clone(), |i| DIMENSIONS[i].0.to_owned());
            if seen.contains(&own) {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
            seen.push(own);
            match (key.as_str(), dimension) {
                ("n_inner", Some(i)) => dimensions[i] = map.next_value::<Dimension>()?.0,
                (_, Some(i)) => dimensions[i] = Some(map.next_value_seed(WholeSeed)?),
                ("family", None) => family = Some(map.next_value()?),
                ("gated_mlp", None) => gated_mlp = Some(map.next_value()?),
                (
                    "model_type"
                    | "num_key_value_heads"
                    | "head_dim"
                    | "embedding_size"
                    | "num_local_experts"
                    | "num_experts"
                    | "n_routed_experts"
                    | "tie_word_embeddings"
                    | "is_decoder"
                    | "add_cross_attention"
                    | "is_encoder_decoder"
                    | "tie_encoder_decoder"
                    | "cross_attention_hidden_size"
                    | "position_embedding_type"
                    | "sliding_window"
                    | "use_sliding_window"
                    | "rope_theta"
                    | "rope_scaling"
                    | "rope_parameters"
                    | "rotary_dim"
                    | "attention_bias"
                    | "mlp_bias"
                    | "quantization_config"
                    | "gradient_checkpointing",
                    None,
                ) => changes.push((key, map.next_value()?)),
                (name, None) => {
                    map.next_value::<IgnoredAny>()?;
                    if !is_without_cost(name) {
                        unknown.push(key);
                    }
                }
            }
        }
        let model_type = changes.iter().find(|(key, _)| key == "model_type").and_then(|(_, v)| v.as_str());
        let is_gpt2 = model_type.is_some_and(|name| DECODERS.contains(&name));
        let family = family.unwrap_or(if is_gpt2 { Family::Decoder } else { Family::Encoder });
        let of = |i: usize| dimensions[i];
        changes.retain(|(key, value)| !changes_nothing(key, value, of(1), of(2), family));
        if !changes.is_empty() || !unknown.is_empty() {
            return Err(A::Error::custom(refused(&changes, &unknown)));
        }
        let need = |i: usize| of(i).ok_or_else(|| A::Error::missing_field(DIMENSIONS[i].0));
        let d_model = need(1)?;
        let config = Config {
            family,
            n_layers: need(0)?,
            d_model,
            n_heads: need(2)?,
            // GPT-2's own default.
            d_ff: if is_gpt2 { of(3).unwrap_or(d_model.saturating_mul(4)) } else { need(3)? },
            vocab_size: need(4)?,
            max_seq_len: need(5)?,
            type_vocab_size: of(6).unwrap_or(2),
            gated_mlp: gated_mlp.unwrap_or(false),
        };
        check(&config).map_err(A::Error::custom)?;
        Ok(config)
    }
}

/// A whole number, in the place where it stands.
struct WholeSeed;

impl<'de> serde::de::DeserializeSeed<'de> for WholeSeed {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        whole(deserializer)
    }
}

fn is_without_cost(key: &str) -> bool {
    WITHOUT_COST.contains(&key)
        || BEGINNINGS.iter().any(|b| key.starts_with(b))
        || ENDINGS.iter().any(|e| key.ends_with(e))
        || key == "classifier_dropout"
}

/// Whether the model costs what it would without this key.
fn changes_nothing(key: &str, value: &Value, d_model: Option<usize>, n_heads: Option<usize>, family: Family) -> bool {
    if value.is_null() || *value == Value::Bool(false) && key != "tie_word_embeddings" {
        return true;
    }
    let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
    match key {
        "model_type" => value.as_str().is_some_and(|name| ENCODERS.contains(&name) || DECODERS.contains(&name)),
        "num_key_value_heads" => number.is_some() && number == n_heads,
        "head_dim" => number.zip(n_heads).is_some_and(|(d, n)| d_model == d.checked_mul(n)),
        "embedding_size" => number.is_some() && number == d_model,
        "num_local_experts" | "num_experts" | "n_routed_experts" => number.is_some_and(|n| n <= 1),
        // The matrix is tied, and biases are there.
        "tie_word_embeddings" | "attention_bias" | "mlp_bias" => *value == Value::Bool(true),
        "is_decoder" => family == Family::Decoder,
        "position_embedding_type" => value.as_str() == Some("absolute"),
        _ => false,
    }
}

/// What is refused, all of it.
fn refused(changes: &[(String, Value)], unknown: &[String]) -> String {
    let shown = |(key, value): &(String, Value)| {
        let value: String = value.to_string().chars().take(40).collect();
        format!("`{key}: {value}`")
    };
    let mut parts = Vec::new();
    if !changes.is_empty() {
        let changes: Vec<String> = changes.iter().map(shown).collect();
        parts.push(format!("{} would change what the model costs, and is not modelled", changes.join(", ")));
    }
    if !unknown.is_empty() {
        let keys: Vec<String> =
            unknown.iter().take(20).map(|k| format!("`{}`", k.chars().take(60).collect::<String>())).collect();
        let own: Vec<String> = DIMENSIONS.iter().map(|(own, _)| format!("`{own}`")).collect();
        let field = if keys.len() == 1 { "unknown field" } else { "unknown fields" };
        parts.push(format!(
            "{field} {}: expected `family`, {}, `gated_mlp`, or the names of a Hugging Face `config.json`",
            keys.join(", "),
            own.join(", ")
        ));
    }
    parts.join("; ")
}

fn check(config: &Config) -> Result<(), ConfigError> {
    for (name, value, most) in [
        ("n_layers", config.n_layers, MAX_LAYERS),
        ("d_model", config.d_model, MAX_WIDTH),
        ("n_heads", config.n_heads, MAX_HEADS),
        ("d_ff", config.d_ff, MAX_WIDTH),
        ("vocab_size", config.vocab_size, MAX_ROWS),
        ("max_seq_len", config.max_seq_len, MAX_ROWS),
        ("type_vocab_size", config.type_vocab_size, MAX_ROWS),
    ] {
        if value == 0 || value > most {
            return Err(ConfigError::Dimension { name, value, most });
        }
    }
    if !config.d_model.is_multiple_of(config.n_heads) {
        return Err(ConfigError::Heads { n_heads: config.n_heads, d_model: config.d_model });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;

    fn read(json: &str) -> Result<Config, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    /// BERT-base's own `config.json`, with `more` in it.
    fn bert(more: &str) -> String {
        format!(
            r#"{{"architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,
            "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12,
            "num_hidden_layers": 12, "pad_token_id": 0, "position_embedding_type": "absolute",
            "transformers_version": "4.6.0", "type_vocab_size": 2, "use_cache": true, "vocab_size": 30522{more}}}"#
        )
    }

    #[test]
    fn a_config_json_is_taken_as_it_is_and_what_costs_nothing_is_passed_over() {
        assert_eq!(read(&bert("")).expect("BERT"), bert_base());
        for more in [
            r#", "num_key_value_heads": 12, "head_dim": 64, "embedding_size": 768, "tie_word_embeddings": true"#,
            r#", "is_decoder": false, "add_cross_attention": false, "classifier_dropout": null, "num_local_experts": 1"#,
            r#", "id2label": {"0": "a"}, "output_attentions": false, "torch_dtype": "float32", "sliding_window": null"#,
        ] {
            assert_eq!(read(&bert(more)).expect(more), bert_base(), "{more}");
        }
    }

    #[test]
    fn gpt2_is_a_decoder_whose_inner_width_is_four_times_its_own() {
        let gpt2 = read(
            r#"{"model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
            "n_inner": null, "attn_pdrop": 0.1, "vocab_size": 50257, "summary_type": "cls_index"}"#,
        );
        let gpt2 = gpt2.expect("valid");
        assert_eq!((gpt2.family, gpt2.d_ff, gpt2.max_seq_len), (Family::Decoder, 3072, 1024));
    }

    #[test]
    fn what_changes_the_cost_is_refused_by_name_all_of_it_at_once() {
        for (more, parts) in [
            (r#", "num_key_value_heads": 4"#, &["`num_key_value_heads: 4`"][..]),
            (r#", "head_dim": 128"#, &["`head_dim: 128`"]),
            (r#", "embedding_size": 128"#, &["`embedding_size: 128`"]),
            (r#", "num_local_experts": 8"#, &["`num_local_experts: 8`"]),
            (r#", "is_decoder": true"#, &["`is_decoder: true`"]),
            (
                r#", "tie_word_embeddings": false, "rope_theta": 1e4, "colour": 1, "taste": 2"#,
                &[
                    "`tie_word_embeddings: false`, `rope_theta: 10000.0` would change",
                    "unknown fields `colour`, `taste`",
                ],
            ),
        ] {
            let error = read(&bert(more)).expect_err(more);
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        let llama =
            bert("").replace(r#""model_type": "bert""#, r#""model_type": "llama""#).replace("absolute", "relative_key");
        let error = read(&llama).expect_err("neither BERT nor GPT-2");
        assert!(error.contains(r#"`model_type: "llama"`, `position_embedding_type: "relative_key"` would"#), "{error}");
    }

    #[test]
    fn a_dimension_is_given_once_whatever_it_is_called_and_none_is_missing() {
        let error = read(&bert(r#", "d_model": 768"#)).expect_err("twice");
        assert!(error.contains("duplicate field `d_model`"), "{error}");
        let error = read(&bert("").replace("\"vocab_size\": 30522", "\"n_ctx\": 1")).expect_err("missing");
        assert!(error.contains("missing field `vocab_size`"), "{error}");
        let error = read(&bert("").replace("30522", "0")).expect_err("none");
        assert!(error.contains("`vocab_size` is 0"), "{error}");
    }

    #[test]
    fn each_dimension_may_be_as_large_as_it_says_and_no_larger() {
        for (own, hf, was, most) in [
            ("n_layers", "num_hidden_layers", "12", 10_000),
            ("d_model", "hidden_size", "768", 1_000_000),
            ("n_heads", "num_attention_heads", "12", 10_000),
            ("d_ff", "intermediate_size", "3072", 1_000_000),
            ("vocab_size", "vocab_size", "30522", 10_000_000),
            ("max_seq_len", "max_position_embeddings", "512", 10_000_000),
            ("type_vocab_size", "type_vocab_size", "2", 10_000_000),
        ] {
            let of = |n: usize| read(&bert("").replace(&format!("\"{hf}\": {was}"), &format!("\"{hf}\": {n}")));
            let fault = format!("`{own}` is {}: expected 1 to {most}", most + 1);
            assert!(of(most + 1).expect_err(own).contains(&fault), "{own}");
            assert!(of(0).expect_err(own).contains(&format!("`{own}` is 0")), "{own}");
            // 768 is no multiple of 10 000, and 1 000 000 none of 12.
            let largest = of(most).err().unwrap_or_default();
            let heads = matches!(own, "d_model" | "n_heads");
            assert_eq!(largest.contains("does not divide `d_model`"), heads, "{own}: {largest}");
            assert!(heads || largest.is_empty(), "{own}: {largest}");
        }
    }

    #[test]
    fn keys_that_say_the_usual_are_passed_over_and_others_are_refused() {
        for (more, fault) in [
            (r#", "num_experts": 0, "n_routed_experts": 1, "attention_bias": true, "mlp_bias": true"#, None),
            (r#", "gated_mlp": true"#, None),
            (r#", "chunk_size_feed_forward": 0, "eos_token_id": 3, "_commit_hash": "x""#, None),
            (r#", "num_key_value_heads": "many""#, Some("`num_key_value_heads: \"many\"`")),
            (r#", "embedding_size": "wide""#, Some("`embedding_size: \"wide\"`")),
            (r#", "num_experts": 2"#, Some("`num_experts: 2`")),
            (r#", "rope_scaling": {"factor": 2}"#, Some("`rope_scaling: {\"factor\":2}`")),
            (r#", "attention_bias": 1"#, Some("`attention_bias: 1`")),
            (r#", "colour": 1"#, Some("unknown field `colour`: expected `family`, `n_layers`, ")),
        ] {
            let error = read(&bert(more)).err();
            assert!(error.as_deref().zip(fault).is_none_or(|(e, f)| e.contains(f)), "{more}: {error:?}");
            assert_eq!(error.is_some(), fault.is_some(), "{more}: {error:?}");
        }
        let gpt2 = bert(r#", "is_decoder": true, "family": "decoder""#);
        assert_eq!(read(&gpt2).expect("a decoder").family, Family::Decoder);
        assert!(read(&bert(r#", "gated_mlp": true"#)).expect("gated").gated_mlp);
        let bare = r#"{"num_key_value_heads": "many", "embedding_size": "wide", "n_layers": 1}"#;
        let error = read(bare).expect_err("neither width nor heads");
        assert!(error.contains("`num_key_value_heads: \"many\"`, `embedding_size: \"wide\"` would"), "{error}");
        assert!(read("7").expect_err("no shape").contains("expected the shape of a model: `{n_layers: .."));
    }
}
