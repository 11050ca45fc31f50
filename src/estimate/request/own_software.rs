//! A user's own program, as far as runs of it tell.

use serde::{Deserialize, Serialize};

use crate::catalog::{AttentionUse, Software, SoftwareClass};

/// A program of which runs were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSoftware {
    /// Version of the file.
    pub schema: u32,
    /// Its class.
    pub software: SoftwareClass,
    /// How it computes attention.
    pub attention: AttentionUse,
    /// How much longer a step takes than the model says of its class, as a logarithm.
    pub ln_factor: f64,
    /// Standard deviation of that.
    pub ln_sd: f64,
    /// Runs behind it.
    pub n_runs: usize,
    /// Published runs behind the model: the factor is on top of that model, and of no other.
    pub model_runs: usize,
}

impl OwnSoftware {
    /// What it is, as far as its class goes.
    #[must_use]
    pub fn class(&self) -> Software {
        Software { class: self.software, attention: self.attention }
    }
}
