//! A workload of the catalog whose model is a transformer of ours.

use crate::catalog::{self, Phase, Shape};
use crate::model::{Config, Family, StepShape, masked_per_seq};

/// A training run of a transformer.
pub type Workload = catalog::Workload<Config>;

impl Shape for Config {
    fn max_seq_len(&self) -> usize {
        self.max_seq_len
    }

    fn default_losses(&self, seq_len: usize) -> usize {
        match self.family {
            Family::Encoder => masked_per_seq(seq_len),
            Family::Decoder => seq_len,
        }
    }
}

/// The shape of a step of `phase` when a device sees `batch_size` sequences of it.
#[must_use]
pub fn phase_shape(workload: &Workload, phase: &Phase, batch_size: usize) -> StepShape {
    StepShape { batch_size, seq_len: phase.seq_len, masked_per_seq: workload.losses(phase) }
}
