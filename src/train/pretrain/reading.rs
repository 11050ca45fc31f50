//! A text as batches that a model is tried on, and not trained.

use std::path::Path;

use super::PretrainError;
use super::corpus::Corpus;
use super::text::MOST_TEXT;
use super::vocabulary::Vocabulary;
use crate::files::read_text;
use crate::model::Family;
use crate::nn::Input;

/// Sequences of a batch.
const BATCH: usize = 4;

/// Batches of `BATCH` sequences from places spread evenly over a text, and one more than the largest token of its tokenizer. Of an encoder,
/// tokens are hidden by draws from `seed`, the same ones for every model.
///
/// # Errors
/// If the text or the tokenizer cannot be read, if there are not two sequences, or if an encoder's tokenizer has no token that hides one.
pub(in crate::train) fn batches_of_text(
    (text, tokenizer): (&Path, &Path),
    (family, seq_len): (Family, usize),
    seed: u64,
) -> Result<(Vec<Input>, usize), PretrainError> {
    let vocabulary = Vocabulary::read(tokenizer)?;
    let tokens = vocabulary.tokens(&[read_text(text, MOST_TEXT)?])?;
    let corpus = Corpus::held_out_alone(tokens, &vocabulary, (family, seq_len), seed)?;
    Ok((corpus.held_out(BATCH)?, vocabulary.size))
}
