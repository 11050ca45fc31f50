//! What a key of a type is if it is absent: the defaults and names of transformers 5.24.0, written out by
//! `tests/goldens/hugging_face.py`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What is known of a type.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TypeDefaults {
    /// The class of its language model.
    pub(super) class: String,
    /// Its own names of keys that are called otherwise elsewhere.
    #[serde(default)]
    pub(super) names: BTreeMap<String, String>,
    /// What absent keys are.
    #[serde(default)]
    pub(super) values: Map<String, Value>,
}

static DEFAULTS: LazyLock<BTreeMap<String, TypeDefaults>> = LazyLock::new(|| {
    // What is written beside the code is read by a test.
    serde_json::from_str(include_str!("defaults.json")).unwrap_or_default()
});

/// What is known of a type.
pub(super) fn defaults_of(model_type: &str) -> Option<&'static TypeDefaults> {
    DEFAULTS.get(model_type)
}

/// The types that something is known of, in order of their names.
pub(super) fn known() -> Vec<&'static str> {
    DEFAULTS.keys().map(String::as_str).collect()
}

/// The type whose language model has this class: the first of its name.
pub(super) fn type_of_class(class: &str) -> Option<&'static str> {
    let stem = |class: &str| {
        let end = ["ForCausalLM", "ForMaskedLM", "LMHeadModel", "Model", "For"].iter().find_map(|end| class.find(end));
        class[..end.unwrap_or(class.len())].to_owned()
    };
    let wanted = stem(class);
    let simple = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let of_class = DEFAULTS.iter().filter(|(_, d)| stem(&d.class) == wanted);
    // Several types may share a class; that of the class's own name comes first.
    let mut types: Vec<&str> = of_class.map(|(name, _)| name.as_str()).collect();
    types.sort_by_key(|name| simple(name) != wanted.to_lowercase());
    types.first().copied()
}
