//! Published measurements of training runs, to calibrate estimates on (`hardware/published_runs.csv`), and the
//! constants that are fitted to them (`hardware/efficiency.json`).

use serde::Deserialize;

use super::files::{efficiency_json, layouts_json, published_runs_csv};
use super::software::{AttentionUse, Software, SoftwareClass};
use crate::units::DType;

/// One published measurement: of throughput, of power, or of both.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRun {
    /// A name for it.
    pub id: String,
    /// Who measured: runs of one collection share their methods. It is what is held out to see how far to trust the fit.
    pub collection: String,
    /// Whether it belongs to the calibration set proper; the others were added to widen it.
    pub core: bool,
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
    /// Heads of keys and values, where they are fewer.
    pub n_kv_heads: Option<usize>,
    /// Feed-forward width.
    pub d_ff: usize,
    /// Whether the feed-forward block has a gate.
    pub gated_mlp: bool,
    /// Whether it was trained with dropout, where that differs from what is usual.
    pub dropout: Option<bool>,
    /// Whether its linears have biases, where that differs from what is usual.
    pub biases: Option<bool>,
    /// Vocabulary.
    pub vocab_size: usize,
    /// Tokens of a sequence, where published.
    pub seq_len: Option<usize>,
    /// Sequences on a device at a time.
    pub micro_batch: usize,
    /// Positions of a sequence that have a loss over the vocabulary; 0 when fine-tuning.
    pub losses_per_seq: usize,
    /// Whether activations were computed again in the backward pass.
    pub grad_checkpointing: bool,
    /// Micro-batches of an optimizer step, where published.
    pub grad_accumulation: Option<usize>,
    /// Number format.
    pub dtype: DType,
    /// Throughput of all devices together.
    pub tokens_per_s: Option<f64>,
    /// Mean power of a device.
    pub power_w: Option<f64>,
    /// The power limit that it was measured under.
    pub power_limit_w: Option<f64>,
    /// What class of software trained.
    pub software: SoftwareClass,
    /// How it computed attention.
    pub attention: AttentionUse,
    /// What it was, by name: runs of one collection with the same framework share what they lose or gain by it.
    pub framework: String,
    /// Where it is published.
    pub source: String,
}

impl PublishedRun {
    /// Its software.
    #[must_use]
    pub fn software(&self) -> Software {
        Software { class: self.software, attention: self.attention }
    }
}

/// Every published measurement that the program knows.
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

/// The text of the constants fitted to them.
#[must_use]
pub fn efficiency_table() -> &'static str {
    efficiency_json()
}

/// The text of the constants of layouts, fitted to measured iterations of Megatron (`hardware/layouts.json`).
#[must_use]
pub fn layouts_table() -> &'static str {
    layouts_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Device};

    #[test]
    fn every_published_run_names_a_device_that_has_a_peak_for_its_dtype() {
        let runs = published_runs();
        assert_eq!(runs.len(), 252);
        for run in runs {
            let device: Device = Catalog::default().load(&run.device).expect("a device of the catalog");
            assert!(device.peak.contains_key(&run.dtype), "{}: {} on {}", run.id, run.dtype, run.device);
            assert!(run.tokens_per_s.or(run.power_w).is_some_and(|x| x > 0.0), "{}", run.id);
            assert!(!run.source.is_empty(), "{}", run.id);
        }
    }
}
