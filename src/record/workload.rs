//! A workload of the catalog whose model is a transformer of ours.

use crate::catalog::{self, Phase, Shape};
use crate::model::{Config, Family, Heads, StepShape, masked_per_seq};

/// A training run of a transformer.
pub type Workload = catalog::Workload<Config>;

impl Shape for Config {
    fn max_seq_len(&self) -> usize {
        self.max_seq_len
    }

    fn default_losses(&self, seq_len: usize) -> usize {
        match (self.family, self.heads()) {
            (Family::Encoder, Heads::Pretraining) => masked_per_seq(seq_len),
            // Masked-LM classes of transformers compute scores of all positions, also of those that have no loss.
            (Family::Encoder, Heads::MaskedLm | Heads::Causal) | (Family::Decoder, _) => seq_len,
        }
    }
}

/// The shape of a step of `phase` when a device sees `batch_size` sequences of it.
#[must_use]
pub fn phase_shape(workload: &Workload, phase: &Phase, batch_size: usize) -> StepShape {
    StepShape { batch_size, seq_len: phase.seq_len, masked_per_seq: workload.losses(phase) }
}
