//! What models with a loss on masked positions share.

use candle_core::{DType, Tensor};

use super::{Batch, NnError, Tape};

/// Added to the scores of padding: far below any score, and finite in half precision.
const MASKED_SCORE: f64 = -1e4;

/// What is added to the scores of keys, given 1 for tokens and 0 for padding.
///
/// # Shapes
/// mask `(B, T)`; result as mask, of f32.
pub(super) fn scores_of_padding(mask: &Tensor) -> Result<Tensor, NnError> {
    Ok(((mask.to_dtype(DType::F32)? - 1.0)? * -MASKED_SCORE)?)
}

/// The row of each sequence's first token in a batch whose sequences follow each other.
///
/// # Shapes
/// Result `(B)` of u32.
pub(super) fn first_rows([b, t]: [usize; 2], on: &Tensor) -> Result<Tensor, NnError> {
    let rows: Vec<u32> = (0..b).map(|i| u32::try_from(i * t).unwrap_or(u32::MAX)).collect();
    Ok(Tensor::from_vec(rows, b, on.device())?)
}

/// The rows of the masked positions, given those of the first tokens.
///
/// # Shapes
/// hidden `(B T, D)`, first rows `(B)`, `batch` with M masked positions a sequence; result `(B M, D)`.
pub(super) fn masked_rows(
    batch: &Batch,
    (hidden, first_rows): (&Tensor, &Tensor),
    tape: &Tape,
) -> Result<Tensor, NnError> {
    let rows = batch.masked_positions.broadcast_add(&first_rows.unsqueeze(1)?)?.flatten_all()?;
    Ok(tape.gather(&[(hidden, &rows)])?)
}
