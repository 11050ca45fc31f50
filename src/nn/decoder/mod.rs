//! Decoders as GPT-2 (Radford et al. 2019) and Llama (Touvron et al. 2023, arXiv 2302.13971) are built: norms before the blocks,
//! causal attention, and a loss on every position.
//!
//! Names and arithmetic follow `GPT2LMHeadModel`, `LlamaForCausalLM` and `Qwen3ForCausalLM` of Hugging Face transformers.

mod attention;
mod feed_forward;
mod linears;
mod names;
mod norm;
mod stack;

use candle_core::Tensor;

pub(super) use self::linears::linears;
pub(super) use self::names::Names;
pub(super) use self::norm::Norm;
pub(super) use self::stack::Stack;
use super::ops::Sequences;
use super::params::Init;
use super::{CausalBatch, NnError, Params, Tape};
use crate::model::{Arch, Bias, Config, Positions};

/// Embeddings and layers.
pub(super) struct Decoder {
    word: Tensor,
    position: Option<Tensor>,
    stack: Stack,
    max_seq_len: usize,
}

impl Decoder {
    pub(super) fn new(p: &mut Params, config: &Config, arch: Arch) -> Result<Self, NnError> {
        arch.check(config)?;
        p.freeze(matches!(arch, Arch::Lora { .. }));
        let names = Names::of(config);
        let (d, vocab) = (config.d_model, config.vocab_size);
        let word = p.create(&format!("{}.weight", names.word), &[vocab, d], Init::Normal)?;
        let learned = config.positions() == Positions::Learned;
        let rows = config.details.n_positions.unwrap_or(config.max_seq_len);
        let position = learned.then(|| p.create(names.position, &[rows, d], Init::Normal)).transpose()?;
        let stack = Stack::new(p, (config, arch), &names)?;
        Ok(Self { word, position, stack, max_seq_len: config.max_seq_len })
    }

    /// # Shapes
    /// `batch` of `(B, T)`; result `(B, T, D)`.
    pub(super) fn forward(&self, batch: &CausalBatch, tape: &Tape) -> Result<Tensor, NnError> {
        let (b, t) = batch.input_ids.dims2()?;
        if t > self.max_seq_len {
            return Err(NnError::SeqLen { seq_len: t, max: self.max_seq_len });
        }
        let ids = batch.input_ids.flatten_all()?;
        let positions = batch.positions()?;
        let x = match &self.position {
            Some(table) => tape.gather(&[(&self.word, &ids), (table, &positions)])?,
            None => tape.gather(&[(&self.word, &ids)])?,
        };
        let x = tape.cast(&x, tape.pass().dtype)?;
        let x = tape.reshape(&x, &[b, t, self.word.dim(1)?])?;
        let x = tape.dropout(&x, tape.pass().dropout(0))?;
        self.stack.forward(&x, Sequences { starts: batch.starts.as_ref(), ..Sequences::default() }, tape)
    }
}

/// Embeddings, layers and the linear over the vocabulary.
pub struct CausalLm {
    body: Decoder,
    /// `None` where it is the embedding.
    head: Option<Tensor>,
    head_bias: Option<Tensor>,
    params: Params,
}

impl CausalLm {
    /// Builds the model out of `params`. Layers with windows are those of [`Config::has_window`].
    ///
    /// # Errors
    /// If the model is built otherwise, the architecture does not fit it, a checkpoint lacks a weight, or memory runs out.
    pub fn new(config: &Config, arch: Arch, mut params: Params) -> Result<Self, NnError> {
        let p = &mut params;
        let body = Decoder::new(p, config, arch)?;
        let (d, vocab) = (config.d_model, config.vocab_size);
        let untied = !config.is_tied();
        let head = untied.then(|| p.create("lm_head.weight", &[vocab, d], Init::Normal)).transpose()?;
        let has_bias = config.has_bias(Bias::Head);
        let head_bias = has_bias.then(|| p.create("lm_head.bias", &[vocab], Init::Zeros)).transpose()?;
        Ok(Self { body, head, head_bias, params })
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
    pub fn hidden(&self, batch: &CausalBatch, tape: &Tape) -> Result<Tensor, NnError> {
        tape.use_weights(self.params.tensors())?;
        tape.freeze(self.params.frozen());
        self.body.forward(batch, tape)
    }

    /// The mean cross-entropy of the tokens that follow.
    ///
    /// # Shapes
    /// `batch` of `(B, T)`; result a scalar.
    ///
    /// # Errors
    /// As [`Self::hidden`].
    pub fn loss(&self, batch: &CausalBatch, tape: &Tape) -> Result<Tensor, NnError> {
        let hidden = self.hidden(batch, tape)?;
        let (b, t, d) = hidden.dims3()?;
        let mut rows = tape.reshape(&hidden, &[b * t, d])?;
        if let Some(with_loss) = &batch.rows {
            rows = tape.gather(&[(&rows, with_loss)])?;
        }
        let head = self.head.as_ref().unwrap_or(&self.body.word);
        Ok(tape.head_loss(&rows, head, self.head_bias.as_ref(), &batch.labels)?)
    }
}
