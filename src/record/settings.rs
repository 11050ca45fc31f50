//! How a campaign was asked for.

use serde::{Deserialize, Deserializer, Serialize};

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
    /// Number formats, in the order in which they were measured; the first is the one that is estimated in. Schemas
    /// before the third had one, `dtype`.
    #[serde(alias = "dtype", deserialize_with = "one_or_several")]
    pub dtypes: Vec<DType>,
    /// Which make of the operations computed.
    pub ops: Ops,
    /// Relative half width of the 95 % interval of the step time at which a cell is done.
    pub precision: f64,
    /// Least time spent measuring a cell, in seconds.
    pub min_time_s: f64,
    /// Most time spent measuring a cell, in seconds.
    pub max_time_s: f64,
    /// Steps of a cell, one after the other, where so many were asked for instead of a precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Seed of weights, tokens and dropout.
    pub seed: u64,
}

impl Settings {
    /// The number format that estimates are in unless another is asked for.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtypes.first().copied().unwrap_or(DType::F32)
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DType>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Dtypes {
        One(DType),
        Several(Vec<DType>),
    }
    match Dtypes::deserialize(deserializer)? {
        Dtypes::One(dtype) => Ok(vec![dtype]),
        Dtypes::Several(dtypes) if !dtypes.is_empty() => Ok(dtypes),
        Dtypes::Several(_) => Err(serde::de::Error::invalid_length(0, &"at least one dtype")),
    }
}
