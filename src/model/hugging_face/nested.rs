//! Models of which a text model is a part.

use serde_json::{Map, Value};

/// What sees or hears beside text, with the type that its `text_config` has if it names none.
const NESTED: &[(&str, &str)] = &[
    ("aya_vision", "cohere2"),
    ("audioflamingo3", "qwen2"),
    ("blip-2", "opt"),
    ("cohere2_vision", "cohere2"),
    ("deepseek_vl", "llama"),
    ("fuyu", "persimmon"),
    ("gemma3", "gemma3_text"),
    ("glm4v", "glm4v_text"),
    ("glm4v_moe", "glm4v_moe_text"),
    ("got_ocr2", "qwen2"),
    ("granite_speech", "granite"),
    ("idefics2", "mistral"),
    ("idefics3", "llama"),
    ("instructblip", "opt"),
    ("internvl", "qwen2"),
    ("janus", "llama"),
    ("llama4", "llama4_text"),
    ("llava", "llama"),
    ("llava_next", "llama"),
    ("llava_next_video", "llama"),
    ("llava_onevision", "qwen2"),
    ("mistral3", "mistral"),
    ("ovis2", "qwen2"),
    ("paligemma", "gemma"),
    ("perception_lm", "llama"),
    ("qwen2_audio", "qwen2"),
    ("qwen2_vl", "qwen2_vl_text"),
    ("qwen2_5_vl", "qwen2_5_vl_text"),
    ("qwen3_vl", "qwen3_vl_text"),
    ("qwen3_vl_moe", "qwen3_vl_moe_text"),
    ("smolvlm", "llama"),
    ("video_llava", "llama"),
    ("vipllava", "llama"),
    ("voxtral", "llama"),
];

/// Text types of larger models that are built as a model of text alone.
const SAME: &[(&str, &str)] = &[
    ("qwen2_vl_text", "qwen2"),
    ("qwen2_5_vl_text", "qwen2"),
    ("qwen3_vl_text", "qwen3"),
    ("qwen3_vl_moe_text", "qwen3_moe"),
    ("glm4v_text", "glm4"),
    ("glm4v_moe_text", "glm4_moe"),
];

/// The type that a text type is built as.
pub(super) fn built_as(model_type: &str) -> &str {
    SAME.iter().find(|(name, _)| *name == model_type).map_or(model_type, |(_, same)| same)
}

/// The text model of a larger one.
pub(super) struct Text<'a> {
    /// Its type.
    pub(super) model_type: String,
    /// Its keys.
    pub(super) object: &'a Map<String, Value>,
    /// Whether it stands in an object of its own.
    pub(super) is_inner: bool,
}

/// The text model of a file, if that is of a larger model. Unknown types that have a `text_config` which says its own type are
/// such models too.
pub(super) fn text_of<'a>(model_type: &str, object: &'a Map<String, Value>) -> Option<Text<'a>> {
    let usual = NESTED.iter().find(|(name, _)| *name == model_type).map(|(_, usual)| *usual);
    let inner = ["text_config", "llm_config", "language_config"].iter().find_map(|key| object.get(*key)?.as_object());
    let of_type = |o: &Map<String, Value>| o.get("model_type").and_then(Value::as_str).map(str::to_owned);
    match (inner, usual) {
        (Some(inner), _) => {
            let named = of_type(inner).filter(|named| !named.is_empty());
            let model_type = named.or_else(|| usual.map(str::to_owned))?;
            Some(Text { model_type, object: inner, is_inner: true })
        }
        // Qwen2-VL and others have their text model's keys at the top.
        (None, Some(usual)) if object.contains_key("hidden_size") => {
            Some(Text { model_type: usual.to_owned(), object, is_inner: false })
        }
        _ => None,
    }
}

/// Whether a type is of models that are more than text.
pub(super) fn is_nested(model_type: &str) -> bool {
    NESTED.iter().any(|(name, _)| *name == model_type)
}
