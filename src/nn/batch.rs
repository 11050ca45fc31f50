//! Input of a pre-training step.

use candle_core::{Device, Result, Tensor};
use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

use crate::model::{Config, StepShape};

/// One batch. Every tensor is of u32.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Token ids, `(B, T)`.
    pub input_ids: Tensor,
    /// Segment of each token, `(B, T)`.
    pub token_type_ids: Tensor,
    /// 1 for tokens and 0 for padding, `(B, T)`; `None` if nothing is padded.
    pub attention_mask: Option<Tensor>,
    /// Positions that have a loss, `(B, M)`.
    pub masked_positions: Tensor,
    /// The tokens that belong there, `(B, M)`.
    pub masked_labels: Tensor,
    /// Whether the second sentence follows the first, `(B)`.
    pub next_sentence_labels: Tensor,
}

impl Batch {
    /// Uniformly random tokens without padding: real ids, since the power of a processor depends on its
    /// operands.
    ///
    /// # Errors
    /// If the device has no room.
    pub fn random(config: &Config, shape: StepShape, seed: u64, device: &Device) -> Result<Self> {
        let StepShape { batch_size, seq_len, masked_per_seq } = shape;
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut draw = |n: usize, below: usize| -> Vec<u32> {
            let below = u32::try_from(below).unwrap_or(u32::MAX);
            (0..n).map(|_| rng.random_range(0..below)).collect()
        };
        let tokens = batch_size * seq_len;
        let input_ids = draw(tokens, config.vocab_size);
        // A model without segments reads none.
        let token_type_ids = draw(tokens, config.type_vocab_size.max(1));
        let masked_labels = draw(batch_size * masked_per_seq, config.vocab_size);
        let next_sentence_labels = draw(batch_size, 2);
        let masked_positions: Vec<u32> = (0..batch_size)
            .flat_map(|_| index::sample(&mut rng, seq_len, masked_per_seq.min(seq_len)).into_vec())
            .map(|i| u32::try_from(i).unwrap_or(u32::MAX))
            .collect();
        Ok(Self {
            input_ids: Tensor::from_vec(input_ids, (batch_size, seq_len), device)?,
            token_type_ids: Tensor::from_vec(token_type_ids, (batch_size, seq_len), device)?,
            attention_mask: None,
            masked_positions: Tensor::from_vec(masked_positions, (batch_size, masked_per_seq), device)?,
            masked_labels: Tensor::from_vec(masked_labels, (batch_size, masked_per_seq), device)?,
            next_sentence_labels: Tensor::from_vec(next_sentence_labels, batch_size, device)?,
        })
    }
}
