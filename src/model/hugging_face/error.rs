//! What is said about a `config.json`: why it is refused, and what a count rests on.

use std::fmt;

use super::super::check::ConfigError;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// Keys that are absent, and the defaults of their type that the count rests on.
    Defaults,
    /// A part of a larger model was counted.
    Nested,
    /// Keys that are not read, although their names say that they would change the count.
    Ignored,
    /// Anything else that the reader of a count should know.
    Other,
}

/// Something that the reader of a count should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// A sentence.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A `config.json` that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HuggingFaceError {
    /// No model's description is as long.
    #[error("{bytes} bytes are no `config.json`: expected at most {most}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// The text is no JSON.
    #[error("no JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("expected a Hugging Face `config.json`, an object with `model_type`, got {0}")]
    NoObject(&'static str),
    /// Another file of a model's folder.
    #[error("this describes {0}, not a model: expected the `config.json` beside it")]
    OtherFile(&'static str),
    /// It does not say what it is.
    #[error(
        "no `model_type`: expected one of {}\nhint: {HINT}", known.join(", ")
    )]
    NoType {
        /// The types that are read.
        known: Vec<&'static str>,
    },
    /// A type that nobody here knows.
    #[error("unknown model_type `{model_type}`: it is not counted as another\nknown are {}\nhint: {HINT}", known.join(", "))]
    UnknownType {
        /// What the file says.
        model_type: String,
        /// The types that are read.
        known: Vec<&'static str>,
    },
    /// A type that is known, and not modelled.
    #[error("`{model_type}`: {reason}\nhint: {HINT}")]
    Refused {
        /// What the file says.
        model_type: String,
        /// Why.
        reason: String,
    },
    /// A value that a key cannot have.
    #[error("`{key}` is {got}: expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// What stands there.
        got: String,
        /// What should.
        expected: &'static str,
    },
    /// A key that has to be there.
    #[error("`{key}` is missing, and `{model_type}` has no default of it")]
    Missing {
        /// The key.
        key: String,
        /// The type.
        model_type: String,
    },
    /// Numbers that make no model.
    #[error("{0}")]
    Shape(#[from] ConfigError),
    /// The same where some are not in the file.
    #[error("{error}; of this the file does not say {}, which are the defaults of its type", defaults.join(", "))]
    Defaults {
        /// What is wrong.
        error: ConfigError,
        /// The keys that are absent, and what they are then.
        defaults: Vec<String>,
    },
}

/// What can be done where a file is not read.
const HINT: &str = "write a workload in YAML whose `model:` has `family`, `n_layers`, `d_model`, `n_heads`, `d_ff`, \
    `vocab_size` and `max_seq_len`, and where it differs from GPT-2 or BERT `n_kv_heads`, `head_dim`, `gated_mlp`, \
    `norm: rms`, `positions: rotary`, `biases: []`, `tied_head: false` or `experts: {count, active, d_ff}`";

/// A value as it is shown in an error: no more of it than fits a line.
pub(super) fn shown(value: &serde_json::Value) -> String {
    let kind = match value {
        serde_json::Value::String(_) => "the text ",
        serde_json::Value::Array(_) => "the list ",
        serde_json::Value::Object(_) => "the object ",
        _ => "",
    };
    let text: String = value.to_string().chars().take(60).collect();
    format!("{kind}`{text}`")
}
