//! Input of a decoder's step.

use candle_core::{Device, Result, Tensor};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::model::{Config, StepShape};

/// One batch. Every tensor is of u32.
#[derive(Debug, Clone)]
pub struct CausalBatch {
    /// Token ids, `(B, T)`.
    pub input_ids: Tensor,
    /// The first token of each token's document, `(B, T)`, in its sequence; `None` where each sequence is one document. What stands
    /// before a document, other documents or padding, is not seen.
    pub starts: Option<Tensor>,
    /// Rows of the flattened batch that have a loss, `(R)`; `None` if all have.
    pub rows: Option<Tensor>,
    /// The token that follows each of these, `(R)`.
    pub labels: Tensor,
}

impl CausalBatch {
    /// Uniformly random tokens, with a loss on every position: real ids, since the power of a processor depends on its operands.
    ///
    /// # Errors
    /// If the device has no room.
    pub fn random(config: &Config, shape: StepShape, seed: u64, device: &Device) -> Result<Self> {
        let StepShape { batch_size, seq_len, .. } = shape;
        let mut rng = SmallRng::seed_from_u64(seed);
        let below = u32::try_from(config.vocab_size).unwrap_or(u32::MAX);
        // The token after the last has a place too.
        let texts: Vec<Vec<u32>> =
            (0..batch_size).map(|_| (0..=seq_len).map(|_| rng.random_range(0..below)).collect()).collect();
        let ids: Vec<u32> = texts.iter().flat_map(|text| &text[..seq_len]).copied().collect();
        let labels: Vec<u32> = texts.iter().flat_map(|text| &text[1..]).copied().collect();
        Ok(Self {
            input_ids: Tensor::from_vec(ids, (batch_size, seq_len), device)?,
            starts: None,
            rows: None,
            labels: Tensor::from_vec(labels, batch_size * seq_len, device)?,
        })
    }

    /// The position of each token in its document, `(B T)`.
    pub(super) fn positions(&self) -> Result<Tensor> {
        let (b, t) = self.input_ids.dims2()?;
        let places = Tensor::arange(0, u32::try_from(t).unwrap_or(u32::MAX), self.input_ids.device())?;
        let places = places.broadcast_as((b, t))?;
        match &self.starts {
            Some(starts) => places.sub(starts)?.flatten_all(),
            None => places.flatten_all(),
        }
    }
}
