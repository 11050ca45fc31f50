//! The keys of one `config.json`: looked up by the names of their type, with the defaults of their type.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::defaults::TypeDefaults;
use super::error::{HuggingFaceError, shown};

type Result<T> = std::result::Result<T, HuggingFaceError>;

/// Names that files use for a key whatever their type's own name of it is.
const ALSO: [(&str, &[&str]); 7] = [
    ("hidden_size", &["n_embd", "n_embed", "d_model", "dim"]),
    ("num_hidden_layers", &["n_layer", "n_layers", "num_layers"]),
    ("num_attention_heads", &["n_head", "n_heads", "num_heads"]),
    ("intermediate_size", &["n_inner", "ffn_dim"]),
    ("ffn_dim", &["intermediate_size"]),
    ("max_position_embeddings", &["n_positions", "max_seq_len", "seq_length", "n_ctx"]),
    ("num_kv_heads", &["n_head_kv", "num_key_value_heads"]),
];

/// A file's keys.
pub(super) struct Keys<'a> {
    /// The type that it is read as.
    pub(super) model_type: &'a str,
    object: &'a Map<String, Value>,
    defaults: &'a TypeDefaults,
    used: RefCell<BTreeSet<String>>,
    defaulted: RefCell<BTreeMap<String, String>>,
    renamed: RefCell<BTreeMap<String, String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(model_type: &'a str, object: &'a Map<String, Value>, defaults: &'a TypeDefaults) -> Self {
        Self {
            model_type,
            object,
            defaults,
            used: RefCell::default(),
            defaulted: RefCell::default(),
            renamed: RefCell::default(),
        }
    }

    /// What the file says under any of the key's names; `Null` only if the file says so.
    fn said(&self, key: &str) -> Option<(String, &'a Value)> {
        let own = self.defaults.names.get(key).map_or(key, String::as_str);
        let same = self.defaults.names.iter().filter(|(_, to)| *to == own).map(|(from, _)| from.as_str());
        let also = ALSO.iter().filter(|(name, _)| *name == key).flat_map(|(_, names)| names.iter().copied());
        let names: Vec<&str> = [own, key].into_iter().chain(same).collect();
        for (name, is_own) in names.iter().map(|n| (*n, true)).chain(also.map(|n| (n, false))) {
            if let Some(value) = self.object.get(name) {
                self.used.borrow_mut().insert(name.to_owned());
                if !is_own && !names.contains(&name) {
                    self.renamed.borrow_mut().insert(name.to_owned(), own.to_owned());
                }
                return Some((name.to_owned(), value));
            }
        }
        None
    }

    /// What the file says, or what the type says if the file does not; nothing if that is nothing.
    fn value(&self, key: &str) -> Option<(String, &'a Value)> {
        if let Some(said) = self.said(key) {
            return Some(said).filter(|(_, value)| !value.is_null());
        }
        let own = self.defaults.names.get(key).map_or(key, String::as_str);
        let value = self.defaults.values.get(own).filter(|value| !value.is_null())?;
        self.defaulted.borrow_mut().insert(own.to_owned(), value.to_string());
        Some((own.to_owned(), value))
    }

    /// A whole number, if there is one.
    pub(super) fn number(&self, key: &str) -> Result<Option<usize>> {
        self.value(key).map(|(name, value)| whole(&name, value)).transpose()
    }

    /// A whole number, or one that is as good as any where the file and its type say none.
    pub(super) fn number_or(&self, key: &str, usual: usize) -> Result<usize> {
        let number = self.number(key)?;
        if number.is_none() {
            self.defaulted.borrow_mut().insert(key.to_owned(), usual.to_string());
        }
        Ok(number.unwrap_or(usual))
    }

    /// A whole number that has to be there.
    pub(super) fn need(&self, key: &str) -> Result<usize> {
        let missing = || HuggingFaceError::Missing { key: key.to_owned(), model_type: self.model_type.to_owned() };
        self.number(key)?.ok_or_else(missing)
    }

    /// Yes or no; no if it is not said.
    pub(super) fn flag(&self, key: &str) -> Result<bool> {
        let Some((name, value)) = self.value(key) else { return Ok(false) };
        let wrong = || HuggingFaceError::Value { key: name.clone(), got: shown(value), expected: "`true` or `false`" };
        match value {
            Value::Bool(flag) => Ok(*flag),
            // Flags of some files are numbers.
            Value::Number(n) if n.as_u64() == Some(0) => Ok(false),
            Value::Number(n) if n.as_u64() == Some(1) => Ok(true),
            _ => Err(wrong()),
        }
    }

    /// A text, if there is one.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key)?.1.as_str()
    }

    /// The same of a key that no count rests on.
    pub(super) fn aside(&self, key: &str) -> Option<&'a str> {
        self.aside_value(&[key])?.as_str()
    }

    /// What the file says under the first of these keys that it has, or what the type says, of what no count rests on.
    pub(super) fn aside_value(&self, keys: &[&str]) -> Option<&'a Value> {
        let own = |key: &str| self.defaults.names.get(key).map_or_else(|| key.to_owned(), String::clone);
        let said = keys.iter().find_map(|key| self.said(key).map(|(_, value)| value).filter(|value| !value.is_null()));
        said.or_else(|| keys.iter().find_map(|key| self.defaults.values.get(&own(key))))
    }

    /// A list, if the file has one.
    pub(super) fn list(&self, key: &str) -> Option<&'a [Value]> {
        self.said(key)?.1.as_array().map(Vec::as_slice)
    }

    /// An object, if the file has one.
    pub(super) fn object(&self, key: &str) -> Option<&'a Map<String, Value>> {
        self.said(key)?.1.as_object()
    }

    /// A whole number of an object in the file, or of the type's own object of that name.
    pub(super) fn inner_number(&self, object: &str, key: &str) -> Result<Option<usize>> {
        let said = self.object(object).and_then(|o| o.get(key)).filter(|value| !value.is_null());
        match said {
            Some(value) => whole(&format!("{object}.{key}"), value).map(Some),
            None => self.number(&format!("{object}.{key}")),
        }
    }

    /// Whether the file has the key, and something there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.said(key).is_some_and(|(_, value)| !value.is_null())
    }

    /// Keys that were looked up and are not there, with what their type says instead.
    pub(super) fn defaulted(&self) -> Vec<String> {
        self.defaulted.borrow().iter().map(|(key, value)| format!("`{key}: {value}`")).collect()
    }

    /// Keys that were read as others, which is what they stand for in other types.
    pub(super) fn renamed(&self) -> Vec<String> {
        self.renamed.borrow().iter().map(|(from, to)| format!("`{from}` as `{to}`")).collect()
    }

    /// Of these keys those that the file has, saying something, and that nobody looked up.
    pub(super) fn unused(&self, keys: &[&str]) -> Vec<String> {
        let used = self.used.borrow();
        let says_something = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Number(n) => n.as_f64().is_some_and(|n| n > 0.0),
            Value::Array(list) => !list.is_empty(),
            Value::Object(object) => !object.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Bool(true) => true,
        };
        let is_unused = |key: &&&str| !used.contains(**key) && self.object.get(**key).is_some_and(says_something);
        keys.iter().filter(is_unused).map(|key| format!("`{key}`")).collect()
    }
}

/// Above it not every whole number is a floating-point one.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn whole(key: &str, value: &Value) -> Result<usize> {
    let wrong = || HuggingFaceError::Value {
        key: key.to_owned(),
        got: shown(value),
        expected: "a whole number such as `4096`",
    };
    let number = match value {
        Value::Number(n) => n.as_u64().or_else(|| {
            let n = n.as_f64().filter(|n| n.fract() == 0.0 && (0.0..EXACT).contains(n))?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in this range")]
            Some(n as u64)
        }),
        _ => None,
    };
    number.and_then(|n| usize::try_from(n).ok()).ok_or_else(wrong)
}
