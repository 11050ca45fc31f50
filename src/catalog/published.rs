//! Published throughputs of training runs, to calibrate estimates on: `hardware/published_runs.csv`.

use serde::Deserialize;

use super::files::published_runs_csv;
use crate::units::DType;

/// One published throughput.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRun {
    /// A name for it.
    pub id: String,
    /// The device, by its id in the catalog.
    pub device: String,
    /// How many of them.
    pub devices: u32,
    /// `encoder` or `decoder`.
    pub family: String,
    /// Layers.
    pub n_layers: usize,
    /// Width.
    pub d_model: usize,
    /// Heads.
    pub n_heads: usize,
    /// Feed-forward width.
    pub d_ff: usize,
    /// Vocabulary.
    pub vocab_size: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences on a device at a time, where published.
    pub micro_batch: Option<usize>,
    /// Number format.
    pub dtype: DType,
    /// Throughput of all devices together.
    pub tokens_per_s: f64,
    /// `typical` (stock framework) or `tuned` (fused kernels, large micro-batches).
    pub efficiency: String,
    /// Where it is published.
    pub source: String,
}

/// Every published throughput that the program knows.
///
/// # Panics
/// If the embedded table is damaged, which a test rules out.
#[must_use]
pub fn published_runs() -> Vec<PublishedRun> {
    csv::Reader::from_reader(published_runs_csv().as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the embedded table is read by a test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Device};

    #[test]
    fn every_published_run_names_a_device_that_has_a_peak_for_its_dtype() {
        for run in published_runs() {
            let device: Device = Catalog::default().load(&run.device).expect("a device of the catalog");
            assert!(device.peak.contains_key(&run.dtype), "{}: {} on {}", run.id, run.dtype, run.device);
            assert!(run.tokens_per_s > 0.0 && !run.source.is_empty(), "{}", run.id);
        }
    }
}
