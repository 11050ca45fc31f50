//! Which type of model a file describes, if it describes a model.

use serde_json::{Map, Value};

use super::defaults::{known, type_of_class};
use super::error::{HuggingFaceError, Note, NoteKind, shown};
use super::refused;

/// The type that a file says, or whose class it names.
pub(super) fn type_of(object: &Map<String, Value>, notes: &mut Vec<Note>) -> Result<String, HuggingFaceError> {
    match object.get("model_type") {
        Some(Value::String(name)) if !name.is_empty() => return Ok(name.chars().take(60).collect()),
        None | Some(Value::Null | Value::String(_)) => {}
        Some(other) => {
            let got = shown(other);
            return Err(HuggingFaceError::Value {
                key: "model_type".to_owned(),
                got,
                expected: "a text such as `llama`",
            });
        }
    }
    let has = |key: &str| object.contains_key(key);
    for (keys, what) in [
        (&["added_tokens", "model", "pre_tokenizer"][..], "a tokenizer (`tokenizer.json`)"),
        (&["added_tokens_decoder", "tokenizer_class", "model_max_length"], "a tokenizer (`tokenizer_config.json`)"),
        (&["weight_map", "metadata"], "where weights are stored (`model.safetensors.index.json`)"),
        (&["base_model_name_or_path", "peft_type"], "an adapter (`adapter_config.json`)"),
        (&["_class_name", "_diffusers_version"], "a pipeline of diffusers"),
    ] {
        if keys.iter().filter(|key| has(key)).count() >= 2 && !has("architectures") {
            return Err(HuggingFaceError::OtherFile(what));
        }
    }
    if !has("hidden_size") && !has("architectures") && (has("do_sample") || has("eos_token_id") && object.len() < 12) {
        return Err(HuggingFaceError::OtherFile("how text is generated (`generation_config.json`)"));
    }
    let class = object.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    let Some((class, found)) = class.and_then(|class| Some((class, type_of_class(class)?))) else {
        if let Some(reason) = refused::reason_by_keys(object) {
            return Err(HuggingFaceError::Refused {
                model_type: class.unwrap_or("no `model_type`").to_owned(),
                reason,
            });
        }
        return Err(HuggingFaceError::NoType { known: known() });
    };
    notes.push(Note {
        kind: NoteKind::Other,
        text: format!("there is no `model_type`: read as `{found}`, after `architectures`, `{class}`"),
    });
    Ok(found.to_owned())
}
