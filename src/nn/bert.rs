//! BERT with its two pre-training heads (Devlin et al. 2018, §3.1).
//!
//! Names and arithmetic follow `BertForPreTraining` of Hugging Face transformers, except that the masked-LM
//! head sees the masked positions alone.

use candle_core::{Tensor, Var};

use super::encoder::Encoder;
use super::linear::{LayerNorm, Linear};
use super::params::Init;
use super::{Batch, NnError, Params, PassConfig};
use crate::model::{Arch, Config};

/// The two losses of pre-training, scalars.
pub struct Losses {
    /// Mean cross-entropy of the masked positions.
    pub masked_lm: Tensor,
    /// Mean cross-entropy of the next-sentence prediction.
    pub next_sentence: Tensor,
}

impl Losses {
    /// What is minimised: their sum.
    ///
    /// # Errors
    /// If the device fails.
    pub fn total(&self) -> Result<Tensor, NnError> {
        Ok((&self.masked_lm + &self.next_sentence)?)
    }
}

/// Embeddings, encoder, pooler and both heads.
pub struct BertForPreTraining {
    word: Tensor,
    position: Tensor,
    token_type: Tensor,
    embedding_norm: LayerNorm,
    encoder: Encoder,
    pooler: Linear,
    transform: Linear,
    transform_norm: LayerNorm,
    decoder_bias: Tensor,
    next_sentence: Linear,
    params: Params,
    max_seq_len: usize,
}

impl BertForPreTraining {
    /// Builds the model out of `params`.
    ///
    /// # Errors
    /// If the architecture does not fit the model, a checkpoint lacks a weight, or memory runs out.
    pub fn new(config: &Config, arch: Arch, mut params: Params) -> Result<Self, NnError> {
        arch.check(config)?;
        let d = config.d_model;
        let p = &mut params;
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
            pooler: Linear::dense(p, "bert.pooler.dense", d, d)?,
            transform: Linear::dense(p, "cls.predictions.transform.dense", d, d)?,
            transform_norm: LayerNorm::new(p, "cls.predictions.transform.LayerNorm", d)?,
            decoder_bias: p.create("cls.predictions.bias", &[config.vocab_size], Init::Zeros)?,
            next_sentence: Linear::dense(p, "cls.seq_relationship", d, 2)?,
            params,
            max_seq_len: config.max_seq_len,
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
    pub fn encode(&self, batch: &Batch, pass: &PassConfig) -> Result<Tensor, NnError> {
        let (b, t) = batch.input_ids.dims2()?;
        if t > self.max_seq_len {
            return Err(NnError::SeqLen { seq_len: t, max: self.max_seq_len });
        }
        let d = self.word.dim(1)?;
        let look_up = |table: &Tensor, ids: &Tensor| table.index_select(&ids.flatten_all()?, 0)?.reshape((b, t, d));
        let position = self.position.narrow(0, 0, t)?;
        let x = (look_up(&self.word, &batch.input_ids)? + look_up(&self.token_type, &batch.token_type_ids)?)?
            .broadcast_add(&position)?;
        let x = self.embedding_norm.forward(&x, pass.ops)?.to_dtype(pass.dtype)?;
        let x = pass.ops.dropout(&x, pass.dropout(0))?;
        self.encoder.forward(&x, batch.attention_mask.as_ref(), pass)
    }

    /// Logits of the masked positions and of the next-sentence prediction.
    ///
    /// # Shapes
    /// `batch` of `(B, T)` with M masked positions a sequence; results `(B M, V)` and `(B, 2)`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn logits(&self, batch: &Batch, pass: &PassConfig) -> Result<(Tensor, Tensor), NnError> {
        let ops = pass.ops;
        let hidden = self.encode(batch, pass)?;
        let (b, t, d) = hidden.dims3()?;
        let first = hidden.narrow(1, 0, 1)?.reshape((b, d))?;
        let next_sentence = self.next_sentence.forward(&self.pooler.forward(&first, ops)?.tanh()?, ops)?;

        // Row of each masked position in the flattened batch.
        let m = batch.masked_positions.dim(1)?;
        let offsets: Vec<u32> = (0..b).map(|i| u32::try_from(i * t).unwrap_or(u32::MAX)).collect();
        let offsets = Tensor::from_vec(offsets, (b, 1), hidden.device())?;
        let rows = batch.masked_positions.broadcast_add(&offsets)?.flatten_all()?;
        let masked = hidden.reshape((b * t, d))?.index_select(&rows, 0)?; // (B M, D)
        debug_assert_eq!(rows.elem_count(), b * m);
        let masked = self.transform_norm.forward(&ops.gelu(&self.transform.forward(&masked, ops)?)?, ops)?;
        Ok((ops.linear(&masked, &self.word, Some(&self.decoder_bias))?, next_sentence))
    }

    /// Both losses.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; results are scalars.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn losses(&self, batch: &Batch, pass: &PassConfig) -> Result<Losses, NnError> {
        let (masked, next_sentence) = self.logits(batch, pass)?;
        Ok(Losses {
            masked_lm: pass.ops.cross_entropy(&masked, &batch.masked_labels.flatten_all()?)?,
            next_sentence: pass.ops.cross_entropy(&next_sentence, &batch.next_sentence_labels)?,
        })
    }

    /// Every weight with its name, for an optimizer.
    pub fn named_vars(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.params.iter()
    }
}
