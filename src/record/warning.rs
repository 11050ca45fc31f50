//! Caveats, as data: they travel with the numbers they belong to.

use serde::{Deserialize, Serialize};

/// Something the reader of a number must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// What is the case.
    pub fact: String,
    /// What that does to the numbers.
    pub consequence: String,
    /// What to do about it.
    pub remedy: String,
}

impl Warning {
    /// A warning of three parts.
    pub fn new(fact: impl Into<String>, consequence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fact: fact.into(), consequence: consequence.into(), remedy: remedy.into() }
    }

    /// The same, said of `what`.
    #[must_use]
    pub fn of(self, what: &str) -> Self {
        Self { fact: format!("{what}: {}", self.fact), ..self }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.fact, self.consequence, self.remedy)
    }
}
