//! Which models are computed here to the values that transformers has.

use serde_json::Value;

use crate::model::Config;

/// Types of models that are computed here as transformers computes them.
const TYPES: [&str; 10] =
    ["bert", "gpt2", "llama", "mistral", "modernbert", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"];
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
    let of_head = word("classifier_activation").filter(|of_head| *of_head != "gelu");
    if let Some(of_head) = of_head.filter(|_| kind == "modernbert") {
        return Some(format!("the activation of its head is `{of_head}`"));
    }
    if kind == "modernbert" && config.windowed().is_some_and(|window| window.global_every.is_none()) {
        return Some("its windows are in other layers".to_owned());
    }
    let is_known = config.details.rotary.is_some_and(|rotary| rotary.scaling.is_some());
    let of_rotary = ["rope_scaling", "rope_parameters"].into_iter().filter_map(said);
    if let Some(kind) = of_rotary.filter(|_| !is_known).find_map(unknown_scaling) {
        return Some(format!("its rotary angles are scaled by the rule `{kind}`"));
    }
    // 1 where a layer turns, 0 where it does not.
    let turns = said("no_rope_layers").and_then(Value::as_array);
    let is_otherwise = |(layer, turns): (usize, &Value)| turns.as_u64() != Some(u64::from(config.is_turned(layer)));
    if turns.is_some_and(|turns| turns.iter().enumerate().any(is_otherwise)) {
        return Some("its layers without rotary positions are not each so many-th one".to_owned());
    }
    let is = |name: &str, value: bool| said(name).and_then(Value::as_bool) == Some(value);
    (is("scale_attn_by_inverse_layer_idx", true) || is("scale_attn_weights", false))
        .then(|| "its scores are scaled in a way of their own".to_owned())
}

/// The rule by which rotary angles are slowed, in all layers or in some, if there is one. `dynamic` slows only those beyond the length
/// of the model.
fn unknown_scaling(said: &Value) -> Option<String> {
    let Some(said) = said.as_object() else { return (!said.is_null()).then(|| said.to_string()) };
    let kind = ["rope_type", "type"].into_iter().find_map(|name| said.get(name)).and_then(Value::as_str);
    // Kinds of layers have objects of their own, and a factor scales whatever its kind is called.
    let unnamed = said.contains_key("factor").then_some("factor");
    let kind = if kind.is_some() { kind } else { unnamed };
    let of_all = kind.filter(|kind| !["default", "dynamic"].contains(kind)).map(str::to_owned);
    of_all.or_else(|| said.values().filter(|inner| inner.is_object()).find_map(unknown_scaling))
}
