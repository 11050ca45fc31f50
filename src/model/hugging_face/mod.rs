//! Hugging Face's `config.json`, as it is: each type of model by its own keys and defaults.

mod convbert;
mod dbrx;
mod deberta;
mod defaults;
mod encoders;
mod error;
mod gpt;
mod jetmoe;
mod keys;
mod likes;
mod llama;
mod mixtures;
mod modern;
mod narrow;
mod nested;
mod refused;
mod rotary;
mod sizes;
mod special;
mod types;
mod windows;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use error::{HuggingFaceError, Note, NoteKind};

use super::config::Config;
use defaults::{defaults_of, known};
use keys::Keys;
use types::type_of;

/// No description is longer: those of the largest models with all their labels are a hundredth of it.
const MOST_BYTES: usize = 4_000_000;

/// Whether the head is the token embedding.
const TIED: &str = "tie_word_embeddings";

/// Types with latent attention.
const LATENT: [&str; 6] = ["deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3", "sarvam_mla", "youtu"];

/// Keys whose names say that they change the count.
const WEIGHTY: &[&str] = &[
    "adapters",
    "attention_bias",
    "bias",
    "cross_attention_hidden_size",
    "embedding_size",
    "ffn_hidden_size",
    "first_k_dense_replace",
    "head_dim",
    "intermediate_size",
    "is_decoder",
    "kv_lora_rank",
    "mlp_bias",
    "moe_intermediate_size",
    "n_inner",
    "n_routed_experts",
    "n_shared_experts",
    "num_experts",
    "num_key_value_heads",
    "num_local_experts",
    "pruned_heads",
    "q_lora_rank",
    "qk_layernorm",
    "shared_expert_intermediate_size",
    "tie_encoder_decoder",
    "type_vocab_size",
    "use_bias",
    "use_qk_norm",
    "vision_config",
    "audio_config",
    "word_embed_proj_dim",
];

/// Types that are read.
#[must_use]
pub fn known_types() -> Vec<&'static str> {
    known()
}

/// Reads a `config.json`, and says what its count rests on.
///
/// Counts are those of `transformers` 5.24.0: the causal model of decoders, the masked one of encoders; the text model alone of
/// those that see or hear, which a note says. Quantisation is set aside.
///
/// # Errors
/// If it is no such file, if its type is unknown or is not modelled, or if its values make no model.
///
/// ```
/// use greenformers::model::{Arch, count_params, read_hugging_face};
///
/// let json = br#"{"model_type": "gpt2", "n_layer": 12}"#;
/// let (model, notes) = read_hugging_face(json)?;
/// assert_eq!(count_params(&model, Arch::Dense), 124_439_808);
/// assert!(notes[0].text.contains("`n_embd: 768`"));
/// # Ok::<(), greenformers::model::HuggingFaceError>(())
/// ```
pub fn read_hugging_face(json: &[u8]) -> Result<(Config, Vec<Note>), HuggingFaceError> {
    if json.len() > MOST_BYTES {
        return Err(HuggingFaceError::TooLong { bytes: json.len(), most: MOST_BYTES });
    }
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let value: Value = serde_json::from_slice(json).map_err(|e| HuggingFaceError::Json(e.to_string()))?;
    match value {
        Value::Object(object) => config_of(&object),
        Value::Null => Err(HuggingFaceError::NoObject("`null`")),
        Value::Array(_) => Err(HuggingFaceError::NoObject("a list")),
        Value::String(_) => Err(HuggingFaceError::NoObject("a text")),
        Value::Bool(_) | Value::Number(_) => Err(HuggingFaceError::NoObject("a single value")),
    }
}

/// The same of an object that is parsed already.
pub(super) fn config_of(object: &Map<String, Value>) -> Result<(Config, Vec<Note>), HuggingFaceError> {
    let mut notes = Vec::new();
    let model_type = type_of(object, &mut notes)?;
    if let Some(reason) = refused::reason(&model_type) {
        return Err(HuggingFaceError::Refused { model_type, reason });
    }
    let Some(text) = nested::text_of(&model_type, object).filter(|_| defaults_of(&model_type).is_none()) else {
        if nested::is_nested(&model_type) {
            let reason = "it is not a text model, and has no `text_config` that could be counted alone".to_owned();
            return Err(HuggingFaceError::Refused { model_type, reason });
        }
        return counted(&model_type, object, notes);
    };
    if let Some(reason) = refused::reason(&text.model_type) {
        let reason = format!("it is not a text model, and of its text model `{}`: {reason}", text.model_type);
        return Err(HuggingFaceError::Refused { model_type, reason });
    }
    let place = if text.is_inner { "its `text_config`" } else { "the keys of its text model" };
    notes.push(Note {
        kind: NoteKind::Nested,
        text: format!(
            "`{model_type}` is not a text model: the text model alone is counted ({place}, read as `{}`), without what sees or hears",
            nested::built_as(&text.model_type)
        ),
    });
    // Whether the head is tied may be said of the whole alone.
    let tied = object.get(TIED).filter(|tied| text.is_inner && tied.is_boolean() && !text.object.contains_key(TIED));
    let Some(tied) = tied else { return counted(&text.model_type, text.object, notes) };
    let mut inner = text.object.clone();
    inner.insert(TIED.to_owned(), tied.clone());
    counted(&text.model_type, &inner, notes)
}

/// The shape of a text model.
fn counted(
    model_type: &str,
    object: &Map<String, Value>,
    mut notes: Vec<Note>,
) -> Result<(Config, Vec<Note>), HuggingFaceError> {
    let Some(defaults) = defaults_of(model_type) else {
        let model_type = model_type.to_owned();
        return Err(match refused::reason_by_keys(object) {
            Some(reason) => HuggingFaceError::Refused { model_type, reason },
            None => HuggingFaceError::UnknownType { model_type, known: known() },
        });
    };
    let keys = Keys::new(model_type, object, defaults);
    let shape = shape_of(&keys).and_then(|mut config| {
        // Checked before anything is divided by it.
        config.check()?;
        rotary::complete(&keys, &mut config)?;
        config.check()?;
        Ok(config)
    });
    let config = shape.map_err(|error| match error {
        HuggingFaceError::Shape(error) if !keys.defaulted().is_empty() => {
            HuggingFaceError::Defaults { error, defaults: keys.defaulted() }
        }
        other => other,
    })?;
    let mut note = |kind, text| notes.push(Note { kind, text });
    let defaulted = keys.defaulted();
    if !defaulted.is_empty() {
        note(
            NoteKind::Defaults,
            format!("absent, and counted by the defaults of `{model_type}`: {}", defaulted.join(", ")),
        );
    }
    let renamed = keys.renamed();
    if !renamed.is_empty() {
        note(NoteKind::Other, format!("read by other names than those of `{model_type}`: {}", renamed.join(", ")));
    }
    let unused = keys.unused(WEIGHTY);
    if !unused.is_empty() {
        note(NoteKind::Ignored, format!("of no meaning in `{model_type}`, and not counted: {}", unused.join(", ")));
    }
    if keys.has("quantization_config") {
        note(
            NoteKind::Other,
            "`quantization_config` is set aside: the model before quantisation is counted".to_owned(),
        );
    }
    if keys.number("num_nextn_predict_layers").ok().flatten().is_some_and(|n| n > 0) {
        note(
            NoteKind::Ignored,
            "layers that predict further tokens (`num_nextn_predict_layers`) are not counted, as `transformers` has none"
                .to_owned(),
        );
    }
    if config.family == super::Family::Encoder && keys.flag("is_decoder").unwrap_or(false) {
        note(
            NoteKind::Ignored,
            "`is_decoder` is set aside: the masked model is counted, which sees both sides".to_owned(),
        );
    }
    Ok((config, notes))
}

fn shape_of(keys: &Keys) -> Result<Config, HuggingFaceError> {
    let of = nested::built_as(keys.model_type);
    if encoders::ENCODERS.contains(&of) {
        return encoders::read(keys);
    }
    if modern::MODERN.contains(&of) {
        return modern::read(keys);
    }
    match of {
        "dbrx" => return dbrx::read(keys),
        "jetmoe" => return jetmoe::read(keys),
        _ if gpt::GPTS.contains(&of) => return gpt::read(keys),
        _ => {}
    }
    let like =
        likes::like(of).ok_or_else(|| HuggingFaceError::UnknownType { model_type: of.to_owned(), known: known() })?;
    let mut config = llama::read(keys, like)?;
    if LATENT.contains(&of) {
        special::latent(keys, &mut config)?;
    }
    special::complete(keys, &mut config)?;
    Ok(config)
}
