//! Which models are computed here to the values that transformers has.

use serde_json::Value;

use crate::model::Config;

/// Types of models that are computed here as transformers computes them.
const TYPES: [&str; 6] = ["bert", "gpt2", "llama", "mistral", "phi3", "qwen3"];
/// Activations that are computed as others, which cost the same.
const OTHER_ACTIVATIONS: [&str; 2] = ["quick_gelu", "relu2"];

/// What of the model is computed here in another way, which a cost does not depend on, but values do.
pub(super) fn differs<'a>(said: &dyn Fn(&str) -> Option<&'a Value>, config: &Config) -> Option<String> {
    let word = |name: &str| said(name).and_then(|value| value.as_str());
    let kind = word("model_type").unwrap_or_default();
    if !TYPES.contains(&kind) {
        return Some(format!(
            "it is of the type `{kind}`, and those that it reads texts with are {}",
            TYPES.join(", ")
        ));
    }
    let activation = config.details.activation.as_deref().unwrap_or("gelu");
    let is_other = if config.is_bert() { activation != "gelu" } else { OTHER_ACTIVATIONS.contains(&activation) };
    if is_other {
        return Some(format!("its activation is `{activation}`"));
    }
    let scaling = ["rope_type", "type"].into_iter().filter_map(word).find(|kind| *kind != "default");
    if said("rope_scaling").is_some() || scaling.is_some() {
        return Some("its rotary angles are scaled".to_owned());
    }
    let part = said("partial_rotary_factor").and_then(Value::as_f64);
    if part.is_some_and(|part| part != 1.0) {
        return Some("its rotary angles turn a part of each head".to_owned());
    }
    let is = |name: &str, value: bool| said(name).and_then(Value::as_bool) == Some(value);
    (is("scale_attn_by_inverse_layer_idx", true) || is("scale_attn_weights", false))
        .then(|| "its scores are scaled in a way of their own".to_owned())
}
