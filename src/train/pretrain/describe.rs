//! The `config.json` of a model, as transformers reads it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::super::computed::differs;
use super::PretrainError;
use crate::model::{Arch, Bias, Computed, Config, Family, Norm, Positions, Scaling, count_params, read_hugging_face};
use crate::nn::{Checkpoint, NnError, Params, said};

/// The key that says what of a model transformers has no words for.
const OWN: &str = "greenformers";

/// A model and the description of it, which gives the weights their names.
pub(super) struct Described {
    pub(super) model: Config,
    json: Value,
}

impl Described {
    /// The one that a `config.json` describes.
    pub(super) fn given(text: &str) -> Result<Self, PretrainError> {
        let (model, _) = read_hugging_face(text.as_bytes())?;
        let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
        match differs(&|name| said(&json, name), &model) {
            Some(reason) => Err(PretrainError::ComputedOtherwise { reason }),
            None => Ok(Self { model, json }),
        }
    }

    /// A description of a model that is known by its shape alone.
    pub(super) fn of(name: &str, model: &Config) -> Result<Self, PretrainError> {
        let none = || PretrainError::NoDescription { name: name.to_owned() };
        let json = match model.computed().map_err(NnError::from)? {
            Computed::Bert => bert(model),
            Computed::ModernBert => modern_bert(model),
            Computed::Decoder if model.positions() == Positions::Learned => gpt2(model),
            Computed::Decoder if model.norm() == Norm::Rms && model.gated_mlp => llama(model),
            Computed::Decoder => return Err(none()),
        };
        let described = Self::given(&json.to_string())?;
        let is_same = match model.computed().map_err(NnError::from)? {
            Computed::Bert => described.model.is_bert(),
            Computed::ModernBert | Computed::Decoder => {
                let of = |model: &Config| (count_params(model, Arch::Dense), model.details.rotary, model.windowed());
                of(&described.model) == of(model)
            }
        };
        if is_same { Ok(described) } else { Err(none()) }
    }

    /// What it says.
    pub(super) fn json(&self) -> &Value {
        &self.json
    }

    /// The `adapter_config.json` of peft, of pairs that are trained beside the weights of `base`; `None` of other architectures. Their alpha
    /// is their rank, so that nothing scales them.
    pub(super) fn adapter(&self, arch: Arch, base: Option<&Path>, params: &Params) -> Option<String> {
        let Arch::Lora { rank, .. } = arch else { return None };
        let linears = params.iter().filter_map(|(name, _)| name.strip_suffix(".lora_A.weight"));
        let targets: BTreeSet<&str> = linears.filter_map(|name| name.rsplit('.').next()).collect();
        let is_decoder = self.model.family == Family::Decoder;
        let json = json!({
            "peft_type": "LORA", "task_type": if is_decoder { Some("CAUSAL_LM") } else { None },
            "base_model_name_or_path": base.map(|base| base.display().to_string()), "r": rank, "lora_alpha": rank,
            "lora_dropout": 0.0, "bias": "none", "target_modules": targets, "inference_mode": true,
            "fan_in_fan_out": self.json["model_type"] == "gpt2",
        });
        Some(format!("{json:#}\n"))
    }

    /// The text of the file, for a model of this architecture.
    pub(super) fn text(&self, arch: Arch) -> String {
        let mut json = self.json.clone();
        if let Some(object) = json.as_object_mut() {
            object.insert(OWN.to_owned(), json!({ "arch": arch.to_string() }));
            if let Arch::Lrt { .. } = arch {
                object.insert(Checkpoint::FACTORIZED.to_owned(), json!({ "by": "greenformers", "solver": "trained" }));
            }
        }
        format!("{json:#}\n")
    }
}

fn bert(model: &Config) -> Value {
    json!({
        "architectures": ["BertForPreTraining"], "model_type": "bert",
        "hidden_size": model.d_model, "num_hidden_layers": model.n_layers, "num_attention_heads": model.n_heads,
        "intermediate_size": model.d_ff, "vocab_size": model.vocab_size, "type_vocab_size": model.type_vocab_size,
        "max_position_embeddings": model.max_seq_len, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    })
}

fn modern_bert(model: &Config) -> Value {
    let window = model.windowed();
    let rope = |has_window| json!({ "rope_type": "default", "rope_theta": model.theta(has_window) });
    let layer = |i| if model.has_window(i) { "sliding_attention" } else { "full_attention" };
    json!({
        "architectures": ["ModernBertForMaskedLM"], "model_type": "modernbert",
        "hidden_size": model.d_model, "num_hidden_layers": model.n_layers, "num_attention_heads": model.n_heads,
        "intermediate_size": model.d_ff, "vocab_size": model.vocab_size, "max_position_embeddings": model.max_seq_len,
        "hidden_activation": "gelu", "classifier_activation": "gelu", "norm_eps": 1e-5,
        "norm_bias": model.norm() == Norm::Layer, "attention_bias": model.has_bias(Bias::Qkv),
        "mlp_bias": model.has_bias(Bias::Mlp), "classifier_bias": model.has_bias(Bias::Transform),
        "decoder_bias": model.has_bias(Bias::Head), "tie_word_embeddings": model.is_tied(),
        "local_attention": window.map_or(128, |window| window.length - 1),
        "layer_types": (0..model.n_layers).map(layer).collect::<Vec<_>>(),
        "rope_parameters": { "full_attention": rope(false), "sliding_attention": rope(true) },
        "embedding_dropout": 0.0, "attention_dropout": 0.0, "mlp_dropout": 0.0,
        "bos_token_id": null, "eos_token_id": null, "cls_token_id": null, "sep_token_id": null, "pad_token_id": null,
    })
}

fn gpt2(model: &Config) -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2",
        "n_embd": model.d_model, "n_layer": model.n_layers, "n_head": model.n_heads, "n_inner": model.d_ff,
        "vocab_size": model.vocab_size, "n_positions": model.max_seq_len, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
        "bos_token_id": 0, "eos_token_id": 0,
    })
}

fn llama(model: &Config) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": model.d_model, "num_hidden_layers": model.n_layers, "num_attention_heads": model.n_heads,
        "num_key_value_heads": model.n_kv_heads(), "intermediate_size": model.d_ff, "vocab_size": model.vocab_size,
        "max_position_embeddings": model.max_seq_len, "tie_word_embeddings": model.is_tied(), "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "rope_parameters": rope(model), "attention_bias": false, "mlp_bias": false,
    })
}

/// Rotary positions of layers without windows.
fn rope(model: &Config) -> Value {
    let theta = model.theta(false);
    let Some(scaling) = model.details.rotary.and_then(|rotary| rotary.scaling) else {
        return json!({ "rope_type": "default", "rope_theta": theta });
    };
    match scaling {
        Scaling::Linear { factor } => json!({ "rope_type": "linear", "rope_theta": theta, "factor": factor }),
        Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_seq_len } => json!({
            "rope_type": "llama3", "rope_theta": theta, "factor": factor, "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor, "original_max_position_embeddings": original_max_seq_len,
        }),
        Scaling::Yarn { factor, original_max_seq_len, beta_fast, beta_slow, attention_factor, truncate } => json!({
            "rope_type": "yarn", "rope_theta": theta, "factor": factor, "beta_fast": beta_fast, "beta_slow": beta_slow,
            "original_max_position_embeddings": original_max_seq_len, "attention_factor": attention_factor,
            "truncate": truncate,
        }),
    }
}
