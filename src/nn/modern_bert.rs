//! `ModernBERT` with its masked-LM head (Warner et al. 2024, arXiv 2412.13663, section 2.1): norms before the blocks but for the first,
//! rotary positions, gated feed-forward blocks, and windows to both sides in most layers.
//!
//! Names and arithmetic follow `ModernBertForMaskedLM` of Hugging Face transformers, except that the head sees the masked positions
//! alone.

use candle_core::Tensor;

use super::decoder::{Names, Norm, Stack};
use super::linear::{Linear, Make, Weights};
use super::masked::{first_rows, masked_rows, scores_of_padding};
use super::ops::Sequences;
use super::params::Init;
use super::{Batch, NnError, Params, Tape};
use crate::model::{Arch, Bias, Computed, Config};

/// Embeddings and layers.
pub(super) struct ModernBert {
    word: Tensor,
    embedding_norm: Norm,
    stack: Stack,
    max_seq_len: usize,
}

impl ModernBert {
    pub(super) fn new(p: &mut Params, config: &Config, arch: Arch) -> Result<Self, NnError> {
        arch.check(config)?;
        p.freeze(matches!(arch, Arch::Lora { .. }));
        let names = Names::of(config);
        let word = p.create(&format!("{}.weight", names.word), &[config.vocab_size, config.d_model], Init::Normal)?;
        let embedding_norm = Norm::new(p, config, "model.embeddings.norm")?;
        let stack = Stack::new(p, (config, arch), &names)?;
        Ok(Self { word, embedding_norm, stack, max_seq_len: config.max_seq_len })
    }

    /// # Shapes
    /// ids `(B, T)`, mask `(B, T)` with 1 for tokens and 0 for padding; result `(B, T, D)`.
    pub(super) fn forward(&self, ids: &Tensor, mask: Option<&Tensor>, tape: &Tape) -> Result<Tensor, NnError> {
        let (b, t) = ids.dims2()?;
        if t > self.max_seq_len {
            return Err(NnError::SeqLen { seq_len: t, max: self.max_seq_len });
        }
        let pass = tape.pass();
        let x = tape.gather(&[(&self.word, &ids.flatten_all()?)])?; // (B T, D)
        let x = tape.cast(&self.embedding_norm.forward(&x, tape)?, pass.dtype)?;
        let x = tape.dropout(&x, pass.dropout(0))?;
        let x = tape.reshape(&x, &[b, t, self.word.dim(1)?])?;
        let padding = mask.map(scores_of_padding).transpose()?;
        self.stack.forward(&x, Sequences { mask: padding.as_ref(), ..Sequences::default() }, tape)
    }
}

/// Embeddings, layers and the masked-LM head.
pub struct ModernBertForMaskedLm {
    body: ModernBert,
    transform: Linear,
    transform_norm: Norm,
    /// `None` where it is the embedding.
    decoder: Option<Tensor>,
    decoder_bias: Option<Tensor>,
    params: Params,
}

impl ModernBertForMaskedLm {
    /// Builds the model out of `params`.
    ///
    /// # Errors
    /// If the model is not built as `ModernBERT` is, the architecture does not fit it, a checkpoint lacks a weight, or memory runs out.
    pub fn new(config: &Config, arch: Arch, mut params: Params) -> Result<Self, NnError> {
        if config.computed()? != Computed::ModernBert {
            return Err(NnError::NotModernBert);
        }
        let (d, vocab) = (config.d_model, config.vocab_size);
        let p = &mut params;
        let body = ModernBert::new(p, config, arch)?;
        let has_bias = config.has_bias(Bias::Transform);
        let of = Weights { name: "head.dense", size: (d, d), has_bias, is_transposed: false };
        let transform = Linear::new(p, of, Make::Dense)?;
        let transform_norm = Norm::new(p, config, "head.norm")?;
        let untied = !config.is_tied();
        let decoder = untied.then(|| p.create("decoder.weight", &[vocab, d], Init::Normal)).transpose()?;
        let has_bias = config.has_bias(Bias::Head);
        let decoder_bias = has_bias.then(|| p.create("decoder.bias", &[vocab], Init::Zeros)).transpose()?;
        Ok(Self { body, transform, transform_norm, decoder, decoder_bias, params })
    }

    /// The weights.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The hidden states after the last norm.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; result `(B, T, D)`.
    ///
    /// # Errors
    /// If the sequences are longer than the model takes, or memory runs out.
    pub fn encode(&self, batch: &Batch, tape: &Tape) -> Result<Tensor, NnError> {
        tape.use_weights(self.params.tensors())?;
        tape.freeze(self.params.frozen());
        self.body.forward(&batch.input_ids, batch.attention_mask.as_ref(), tape)
    }

    /// Logits of the masked positions.
    ///
    /// # Shapes
    /// `batch` of `(B, T)` with M masked positions a sequence; result `(B M, V)`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn logits(&self, batch: &Batch, tape: &Tape) -> Result<Tensor, NnError> {
        let hidden = self.encode(batch, tape)?;
        let (b, t, d) = hidden.dims3()?;
        let hidden = tape.reshape(&hidden, &[b * t, d])?;
        let masked = masked_rows(batch, (&hidden, &first_rows([b, t], &hidden)?), tape)?; // (B M, D)
        let masked = self.transform_norm.forward(&tape.gelu(&self.transform.forward(&masked, tape)?)?, tape)?;
        let decoder = self.decoder.as_ref().unwrap_or(&self.body.word);
        Ok(tape.linear(&masked, decoder, self.decoder_bias.as_ref())?)
    }

    /// The mean cross-entropy of the masked positions.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; result a scalar.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn masked_lm(&self, batch: &Batch, tape: &Tape) -> Result<Tensor, NnError> {
        Ok(tape.cross_entropy(&self.logits(batch, tape)?, &batch.masked_labels.flatten_all()?)?)
    }
}
