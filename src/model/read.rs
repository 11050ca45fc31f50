//! Shapes as files write them: this program's own keys, and those of Hugging Face's `config.json`.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::config::{Config, Family};
use super::hugging_face::config_of;
use super::said::{SAID, Said};
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

/// Other names of what may be said beside them.
const SAME: [(&str, &str); 2] = [("num_key_value_heads", "n_kv_heads"), ("tie_word_embeddings", "tied_head")];

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

/// Keys of a `config.json` that change what a step costs, and that mean something beside a `model_type` alone.
const CHANGES: [&str; 18] = [
    "embedding_size",
    "num_local_experts",
    "num_experts",
    "n_routed_experts",
    "is_decoder",
    "add_cross_attention",
    "is_encoder_decoder",
    "tie_encoder_decoder",
    "cross_attention_hidden_size",
    "position_embedding_type",
    "use_sliding_window",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rotary_dim",
    "attention_bias",
    "mlp_bias",
    "quantization_config",
];

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor)
    }
}

/// A dimension in the place where it stands, and what is written there.
struct DimensionSeed;

impl<'de> DeserializeSeed<'de> for DimensionSeed {
    type Value = (Option<usize>, Value);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // `n_inner: null` of GPT-2 is the usual one.
        let number = if value.is_null() { None } else { Some(whole(&value).map_err(D::Error::custom)?) };
        Ok((number, value))
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
        let (mut whole_file, mut said) = (Map::new(), Map::new());
        let mut seen: Vec<String> = Vec::new();
        // What changes the cost and is not modelled, and what nobody knows: all are named at once.
        let (mut changes, mut unknown): (Vec<(String, Value)>, Vec<String>) = (Vec::new(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            let dimension = DIMENSIONS.iter().position(|(own, others)| *own == key || others.contains(&key.as_str()));
            let same = SAME.iter().find(|(theirs, _)| *theirs == key).map_or(key.as_str(), |(_, own)| own);
            // Two names of one dimension are one key that is there twice.
            let own = dimension.map_or(same.to_owned(), |i| DIMENSIONS[i].0.to_owned());
            if seen.contains(&own) {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
            seen.push(own.clone());
            let value = match dimension {
                Some(i) => {
                    let (number, value) = map.next_value_seed(DimensionSeed)?;
                    dimensions[i] = number;
                    value
                }
                None => map.next_value::<Value>()?,
            };
            if dimension.is_none() {
                if SAID.contains(&own.as_str()) {
                    said.insert(own, value.clone());
                } else if CHANGES.contains(&key.as_str()) {
                    changes.push((key.clone(), value.clone()));
                } else if !is_without_cost(&key) {
                    unknown.push(key.clone());
                }
            }
            whole_file.insert(key, value);
        }
        if whole_file.contains_key("model_type") {
            return Ok(config_of(&whole_file).map_err(A::Error::custom)?.0);
        }
        let of = |i: usize| dimensions[i];
        let said = Said::deserialize(Value::Object(said)).map_err(A::Error::custom)?;
        let family = said.family.unwrap_or(Family::Encoder);
        changes.retain(|(key, value)| !changes_nothing(key, value, of(1), family));
        if !changes.is_empty() || !unknown.is_empty() {
            return Err(A::Error::custom(refused(&changes, &unknown)));
        }
        let need = |i: usize| of(i).ok_or_else(|| A::Error::missing_field(DIMENSIONS[i].0));
        let (d_model, n_heads) = (need(1)?, need(2)?);
        let gated = said.gated_mlp.unwrap_or(false);
        let config = Config {
            family,
            n_layers: need(0)?,
            d_model,
            n_heads,
            // As nearly all models without a gate have it.
            d_ff: need(3).or_else(|error| if gated { Err(error) } else { Ok(d_model.saturating_mul(4)) })?,
            vocab_size: need(4)?,
            max_seq_len: need(5)?,
            type_vocab_size: of(6).unwrap_or(2),
            gated_mlp: gated,
            details: said.details(n_heads, d_model),
        };
        config.check().map_err(A::Error::custom)?;
        Ok(config)
    }
}

fn is_without_cost(key: &str) -> bool {
    WITHOUT_COST.contains(&key)
        || BEGINNINGS.iter().any(|b| key.starts_with(b))
        || ENDINGS.iter().any(|e| key.ends_with(e))
        || key == "classifier_dropout"
        || key == "gradient_checkpointing"
}

/// Whether the model costs what it would without this key.
fn changes_nothing(key: &str, value: &Value, d_model: Option<usize>, family: Family) -> bool {
    if value.is_null() || *value == Value::Bool(false) {
        return true;
    }
    let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
    match key {
        "embedding_size" => number.is_some() && number == d_model,
        "num_local_experts" | "num_experts" | "n_routed_experts" => number.is_some_and(|n| n <= 1),
        // Biases are there.
        "attention_bias" | "mlp_bias" => *value == Value::Bool(true),
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
        parts.push(format!(
            "{} would change what the model costs, and means something beside the `model_type` of a Hugging Face \
             `config.json` only",
            changes.join(", ")
        ));
    }
    if !unknown.is_empty() {
        let keys: Vec<String> =
            unknown.iter().take(20).map(|k| format!("`{}`", k.chars().take(60).collect::<String>())).collect();
        let own: Vec<String> =
            DIMENSIONS.iter().map(|(own, _)| *own).chain(SAID).map(|own| format!("`{own}`")).collect();
        let field = if keys.len() == 1 { "unknown field" } else { "unknown fields" };
        parts.push(format!(
            "{field} {}: expected {}, or the names of a Hugging Face `config.json`",
            keys.join(", "),
            own.join(", ")
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;
    use crate::model::{Arch, count_params};

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

    /// The same without its type: this program's own keys under other names.
    fn own(more: &str) -> String {
        bert(more).replace(r#""model_type": "bert", "#, "")
    }

    #[test]
    fn a_config_json_is_taken_as_it_is_and_what_costs_nothing_is_passed_over() {
        let whole = read(&bert("")).expect("BERT");
        assert!(whole.is_bert());
        assert_eq!(count_params(&whole, Arch::Dense), 109_514_298);
        assert_eq!(read(&own("")).expect("BERT"), bert_base());
        for more in [
            r#", "num_key_value_heads": 12, "head_dim": 64, "embedding_size": 768, "tie_word_embeddings": true"#,
            r#", "is_decoder": false, "add_cross_attention": false, "classifier_dropout": null, "num_local_experts": 1"#,
            r#", "id2label": {"0": "a"}, "output_attentions": false, "torch_dtype": "float32", "sliding_window": null"#,
        ] {
            assert_eq!(read(&own(more)).expect(more), bert_base(), "{more}");
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
            (r#", "embedding_size": 128"#, &["`embedding_size: 128`"][..]),
            (r#", "num_local_experts": 8"#, &["`num_local_experts: 8`"]),
            (r#", "is_decoder": true"#, &["`is_decoder: true`"]),
            (
                r#", "rope_theta": 1e4, "colour": 1, "taste": 2"#,
                &["`rope_theta: 10000.0` would change", "unknown fields `colour`, `taste`"],
            ),
            (r#", "rope_scaling": {"factor": 2}"#, &["`rope_scaling: {\"factor\":2}`"]),
            (r#", "attention_bias": 1"#, &["`attention_bias: 1`"]),
            (r#", "colour": 1"#, &["unknown field `colour`: expected `n_layers`, "]),
        ] {
            let error = read(&own(more)).expect_err(more);
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        let unknown = bert("").replace(r#""model_type": "bert""#, r#""model_type": "bort""#);
        assert!(read(&unknown).expect_err("unknown").contains("unknown model_type `bort`"));
        assert!(read("7").expect_err("no shape").contains("expected the shape of a model: `{n_layers: .."));
    }

    #[test]
    fn a_dimension_is_given_once_whatever_it_is_called_and_none_is_missing() {
        let error = read(&own(r#", "d_model": 768"#)).expect_err("twice");
        assert!(error.contains("duplicate field `d_model`"), "{error}");
        let error = read(&own(r#", "tied_head": true, "tie_word_embeddings": true"#)).expect_err("twice");
        assert!(error.contains("duplicate field `tie_word_embeddings`"), "{error}");
        let error = read(&own("").replace("\"vocab_size\": 30522", "\"n_ctx\": 1")).expect_err("missing");
        assert!(error.contains("missing field `vocab_size`"), "{error}");
        let error = read(&own("").replace("30522", "0")).expect_err("none");
        assert!(error.contains("`vocab_size` is 0"), "{error}");
    }

    #[test]
    fn a_block_without_a_gate_is_four_times_as_wide_as_the_model_unless_it_says_otherwise() {
        let of = |more: &str| {
            read(&format!(
                r#"{{"n_layers": 2, "d_model": 24, "n_heads": 3, "vocab_size": 100, "max_seq_len": 32{more}}}"#
            ))
        };
        assert_eq!(of("").expect("valid").d_ff, 96);
        assert_eq!(of(r#", "d_ff": 40"#).expect("valid").d_ff, 40);
        assert!(of(r#", "gated_mlp": true"#).expect_err("gated").contains("missing field `d_ff`"));
    }

    #[test]
    fn each_dimension_may_be_as_large_as_it_says_and_no_larger() {
        for (name, hf, was, least, most) in [
            ("n_layers", "num_hidden_layers", "12", 1, 10_000),
            ("d_model", "hidden_size", "768", 1, 1_000_000),
            ("n_heads", "num_attention_heads", "12", 1, 10_000),
            ("d_ff", "intermediate_size", "3072", 1, 1_000_000),
            ("vocab_size", "vocab_size", "30522", 1, 10_000_000),
            ("max_seq_len", "max_position_embeddings", "512", 1, 10_000_000),
            ("type_vocab_size", "type_vocab_size", "2", 0, 10_000_000),
        ] {
            let of = |n: usize| read(&own("").replace(&format!("\"{hf}\": {was}"), &format!("\"{hf}\": {n}")));
            let fault = format!("`{name}` is {}: expected {least} to {most}", most + 1);
            assert!(of(most + 1).expect_err(name).contains(&fault), "{name}");
            assert_eq!(of(0).is_err(), least == 1, "{name}");
            // 768 is no multiple of 10 000, and 1 000 000 none of 12.
            let largest = of(most).err().unwrap_or_default();
            let heads = matches!(name, "d_model" | "n_heads");
            assert_eq!(largest.contains("does not divide `d_model`"), heads, "{name}: {largest}");
            assert!(heads || largest.is_empty(), "{name}: {largest}");
        }
    }

    #[test]
    fn what_a_model_is_beyond_its_sizes_is_said_by_keys_of_its_own() {
        let model = read(
            r#"{"family": "decoder", "n_layers": 4, "d_model": 16, "n_heads": 4, "d_ff": 32, "vocab_size": 100,
            "max_seq_len": 64, "gated_mlp": true, "n_kv_heads": 2, "head_dim": 6, "norm": "rms", "positions": "rotary",
            "biases": ["qkv"], "tied_head": false, "qk_norm": "head", "activation": "silu",
            "sliding_window": {"length": 8, "layers": 3}, "experts": {"count": 4, "active": 2, "d_ff": 8},
            "extra": [{"name": "sinks", "place": "layer", "kind": "values", "size": [1, 4], "times": 4}]}"#,
        );
        let model = model.expect("valid");
        // Queries, keys, values with biases 16 x 48 + 48, output 24 x 16, norms 12 + 32, router 64, experts 4 x 384.
        assert_eq!(count_params(&model, Arch::Dense), 4 * (816 + 384 + 44 + 64 + 1536 + 4) + 2 * 1600 + 16);
        let written = serde_json::to_string(&model).expect("JSON");
        assert_eq!(read(&written).expect("as written"), model);
        for (from, to, part) in [
            ("\"length\":8", "\"length\":0", "`length` of `sliding_window` is 0"),
            ("\"active\":2", "\"active\":5", "`active` of `experts` is 5: expected 1 to 4"),
            ("\"layers\":3", "\"layers\":5", "`layers` of `sliding_window` is 5: expected 0 to 4"),
            ("\"norm\":\"rms\"", "\"norm\":\"batch\"", "unknown variant `batch`"),
            ("\"count\":4", "\"size\":4", "unknown field `size`"),
        ] {
            assert!(written.contains(from), "{from}: {written}");
            let error = read(&written.replace(from, to)).expect_err(to);
            assert!(error.contains(part), "{to}: {error}");
        }
    }
}
