//! How a campaign was asked for.

use serde::{Deserialize, Serialize};

use super::{Pass, Workload};
use crate::model::Ops;
use crate::units::DType;

/// What every cell of a campaign shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is trained.
    pub workload: Workload,
    /// Layers that were built; the workload's unless `--layers` was given.
    pub n_layers: usize,
    /// Train steps or forward passes.
    pub pass: Pass,
    /// Probability of dropout in train steps.
    pub dropout: f64,
    /// Number format.
    pub dtype: DType,
    /// Which make of the operations computed.
    pub ops: Ops,
    /// Relative half width of the 95 % interval of the step time at which a cell is done.
    pub precision: f64,
    /// Least time spent measuring a cell, in seconds.
    pub min_time_s: f64,
    /// Most time spent measuring a cell, in seconds.
    pub max_time_s: f64,
    /// Seed of weights, tokens and dropout.
    pub seed: u64,
}
