//! BERT with its two pre-training heads (Devlin et al. 2018, §3.1).
//!
//! Names and arithmetic follow `BertForPreTraining` of Hugging Face transformers, except that the masked-LM
//! head sees the masked positions alone.

use candle_core::Tensor;

use super::encoder::Encoder;
use super::linear::{LayerNorm, Linear};
use super::masked::{first_rows, masked_rows};
use super::params::Init;
use super::{Batch, NnError, Params, Tape};
use crate::model::{Arch, Config};

/// The losses of pre-training, scalars.
pub struct Losses {
    /// Mean cross-entropy of the masked positions.
    pub masked_lm: Tensor,
    /// Mean cross-entropy of the next-sentence prediction.
    pub next_sentence: Tensor,
    /// What is minimised: their sum.
    pub total: Tensor,
}

/// Embeddings and encoder.
pub(super) struct Bert {
    word: Tensor,
    position: Tensor,
    token_type: Tensor,
    embedding_norm: LayerNorm,
    encoder: Encoder,
    max_seq_len: usize,
}

impl Bert {
    pub(super) fn new(p: &mut Params, config: &Config, arch: Arch) -> Result<Self, NnError> {
        if !config.is_bert() {
            return Err(NnError::NotBert);
        }
        arch.check(config)?;
        let d = config.d_model;
        p.freeze(matches!(arch, Arch::Lora { .. }));
        let word = p.create("bert.embeddings.word_embeddings.weight", &[config.vocab_size, d], Init::Normal)?;
        let position =
            p.create("bert.embeddings.position_embeddings.weight", &[config.max_seq_len, d], Init::Normal)?;
        let token_type =
            p.create("bert.embeddings.token_type_embeddings.weight", &[config.type_vocab_size, d], Init::Normal)?;
        Ok(Self {
            word,
            position,
            token_type,
            embedding_norm: LayerNorm::new(p, "bert.embeddings.LayerNorm", d)?,
            encoder: Encoder::new(p, config, arch)?,
            max_seq_len: config.max_seq_len,
        })
    }

    /// # Shapes
    /// ids and types `(B, T)`, mask `(B, T)` with 1 for tokens and 0 for padding; result `(B, T, D)`.
    pub(super) fn forward(
        &self,
        ids: &Tensor,
        types: &Tensor,
        mask: Option<&Tensor>,
        tape: &Tape,
    ) -> Result<Tensor, NnError> {
        let (b, t) = ids.dims2()?;
        if t > self.max_seq_len {
            return Err(NnError::SeqLen { seq_len: t, max: self.max_seq_len });
        }
        let pass = tape.pass();
        let positions = Tensor::arange(0, u32::try_from(t).unwrap_or(u32::MAX), ids.device())?;
        let x = tape.gather(&[
            (&self.word, &ids.flatten_all()?),
            (&self.token_type, &types.flatten_all()?),
            (&self.position, &positions.broadcast_as((b, t))?.flatten_all()?),
        ])?; // (B T, D)
        let x = tape.cast(&self.embedding_norm.forward(&x, tape)?, pass.dtype)?;
        let x = tape.dropout(&x, pass.dropout(0))?;
        let x = tape.reshape(&x, &[b, t, self.word.dim(1)?])?;
        self.encoder.forward(&x, mask, tape)
    }
}

/// Embeddings, encoder, pooler and both heads.
pub struct BertForPreTraining {
    body: Bert,
    pooler: Linear,
    transform: Linear,
    transform_norm: LayerNorm,
    decoder_bias: Tensor,
    next_sentence: Linear,
    params: Params,
}

impl BertForPreTraining {
    /// Builds the model out of `params`.
    ///
    /// # Errors
    /// If the model is not built as BERT is, the architecture does not fit it, a checkpoint lacks a weight, or memory runs out.
    pub fn new(config: &Config, arch: Arch, mut params: Params) -> Result<Self, NnError> {
        let d = config.d_model;
        let p = &mut params;
        Ok(Self {
            body: Bert::new(p, config, arch)?,
            pooler: Linear::dense(p, "bert.pooler.dense", d, d)?,
            transform: Linear::dense(p, "cls.predictions.transform.dense", d, d)?,
            transform_norm: LayerNorm::new(p, "cls.predictions.transform.LayerNorm", d)?,
            decoder_bias: p.create("cls.predictions.bias", &[config.vocab_size], Init::Zeros)?,
            next_sentence: Linear::dense(p, "cls.seq_relationship", d, 2)?,
            params,
        })
    }

    /// The weights.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The hidden states of the last layer.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; result `(B, T, D)`.
    ///
    /// # Errors
    /// If the sequences are longer than the model takes, or memory runs out.
    pub fn encode(&self, batch: &Batch, tape: &Tape) -> Result<Tensor, NnError> {
        tape.use_weights(self.params.tensors())?;
        tape.freeze(self.params.frozen());
        self.body.forward(&batch.input_ids, &batch.token_type_ids, batch.attention_mask.as_ref(), tape)
    }

    /// The heads whose weights the loss of [`Self::masked_lm`] does not depend on, by how their names begin.
    pub const NEXT_SENTENCE: &[&str] = &["bert.pooler.", "cls.seq_relationship."];

    /// Logits of the masked positions and of the next-sentence prediction.
    ///
    /// # Shapes
    /// `batch` of `(B, T)` with M masked positions a sequence; results `(B M, V)` and `(B, 2)`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn logits(&self, batch: &Batch, tape: &Tape) -> Result<(Tensor, Tensor), NnError> {
        let (hidden, offsets) = self.rows(batch, tape)?;
        let first = tape.gather(&[(&hidden, &offsets)])?; // (B, D)
        let pooled = tape.tanh(&self.pooler.forward(&first, tape)?)?;
        let next_sentence = self.next_sentence.forward(&pooled, tape)?;
        Ok((self.masked_logits(batch, (&hidden, &offsets), tape)?, next_sentence))
    }

    /// The hidden states `(B T, D)`, and the row among them of each sequence's first token, `(B)`.
    fn rows(&self, batch: &Batch, tape: &Tape) -> Result<(Tensor, Tensor), NnError> {
        let hidden = self.encode(batch, tape)?;
        let (b, t, d) = hidden.dims3()?;
        let hidden = tape.reshape(&hidden, &[b * t, d])?;
        let offsets = first_rows([b, t], &hidden)?;
        Ok((hidden, offsets))
    }

    /// # Shapes
    /// hidden `(B T, D)`, offsets `(B)`; result `(B M, V)`.
    fn masked_logits(&self, batch: &Batch, of: (&Tensor, &Tensor), tape: &Tape) -> Result<Tensor, NnError> {
        let masked = masked_rows(batch, of, tape)?; // (B M, D)
        let masked = self.transform_norm.forward(&tape.gelu(&self.transform.forward(&masked, tape)?)?, tape)?;
        Ok(tape.linear(&masked, &self.body.word, Some(&self.decoder_bias))?)
    }

    /// The mean cross-entropy of the masked positions, without the next-sentence prediction.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; result a scalar.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn masked_lm(&self, batch: &Batch, tape: &Tape) -> Result<Tensor, NnError> {
        let (hidden, offsets) = self.rows(batch, tape)?;
        let logits = self.masked_logits(batch, (&hidden, &offsets), tape)?;
        Ok(tape.cross_entropy(&logits, &batch.masked_labels.flatten_all()?)?)
    }

    /// The losses.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; results are scalars.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn losses(&self, batch: &Batch, tape: &Tape) -> Result<Losses, NnError> {
        let (masked, next_sentence) = self.logits(batch, tape)?;
        let masked_lm = tape.cross_entropy(&masked, &batch.masked_labels.flatten_all()?)?;
        let next_sentence = tape.cross_entropy(&next_sentence, &batch.next_sentence_labels)?;
        let total = tape.add(&masked_lm, &next_sentence)?;
        Ok(Losses { masked_lm, next_sentence, total })
    }
}
