//! Decoders as GPT-2 (Radford et al. 2019) and Llama (Touvron et al. 2023, arXiv 2302.13971) are built: norms before the blocks,
//! causal attention, and a loss on every position.
//!
//! Names and arithmetic follow `GPT2LMHeadModel`, `LlamaForCausalLM` and `Qwen3ForCausalLM` of Hugging Face transformers.

mod attention;
mod feed_forward;
mod linears;
mod names;
mod norm;

use std::sync::Arc;

use candle_core::Tensor;

use self::attention::Attention;
use self::feed_forward::FeedForward;
pub(super) use self::linears::linears;
use self::names::Names;
use self::norm::Norm;
use super::ops::Angles;
use super::params::Init;
use super::{CausalBatch, NnError, Params, Tape};
use crate::model::{Arch, Bias, Config, Positions};

/// The rotary angles of layers without a window, and of those with one.
struct LayerAngles([Option<Arc<Angles>>; 2]);

impl LayerAngles {
    /// Those of a model; none where its positions are not rotary.
    fn of(config: &Config) -> Result<Self, NnError> {
        if config.positions() != Positions::Rotary {
            return Ok(Self([None, None]));
        }
        let of = |theta| -> Result<_, NnError> {
            let heads = (config.d_head(), config.rotary_width());
            Ok(Some(Arc::new(Angles::of_part(config.max_seq_len, heads, theta)?)))
        };
        let global = of(config.theta(false))?;
        let local = if config.theta(true) == config.theta(false) { global.clone() } else { of(config.theta(true))? };
        Ok(Self([global, local]))
    }

    fn of_layer(&self, has_window: bool) -> Option<Arc<Angles>> {
        self.0[usize::from(has_window)].clone()
    }
}

struct Layer {
    attention_norm: Norm,
    attention: Attention,
    /// None where both blocks see the same norm, and stand beside each other.
    feed_norm: Option<Norm>,
    feed: FeedForward,
}

impl Layer {
    fn new(
        params: &mut Params,
        (config, arch): (&Config, Arch),
        names: &Names,
        angles: &LayerAngles,
        index: usize,
    ) -> Result<Self, NnError> {
        let name = names.layer(index);
        let window = config.windowed().filter(|window| index < window.layers).map(|window| window.length);
        let angles = angles.of_layer(window.is_some());
        let has_feed_norm = config.norms_per_layer() > 1;
        Ok(Self {
            attention_norm: Norm::new(params, config, &format!("{name}.{}", names.attention_norm))?,
            attention: Attention::new(params, (config, arch), names, &name, (angles, window))?,
            feed_norm: has_feed_norm
                .then(|| Norm::new(params, config, &format!("{name}.{}", names.feed_norm)))
                .transpose()?,
            feed: FeedForward::new(params, (config, arch), names, &name)?,
        })
    }

    /// # Shapes
    /// x `(B, T, D)`; result as x.
    fn forward(&self, x: &Tensor, starts: Option<&Tensor>, tape: &Tape, place: u64) -> Result<Tensor, NnError> {
        let pass = tape.pass();
        let normed = self.attention_norm.forward(x, tape)?;
        let attended = self.attention.forward(&normed, starts, tape, place)?;
        let x = tape.add_dropped(&attended, x, pass.dropout(place + 1))?;
        let normed = match &self.feed_norm {
            Some(norm) => norm.forward(&x, tape)?,
            None => normed,
        };
        let fed = self.feed.forward(&normed, tape)?;
        Ok(tape.add_dropped(&fed, &x, pass.dropout(place + 2))?)
    }
}

/// Embeddings, layers and the last norm.
pub(super) struct Decoder {
    word: Tensor,
    position: Option<Tensor>,
    layers: Vec<Layer>,
    norm: Option<Norm>,
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
        let angles = LayerAngles::of(config)?;
        let layers = (0..config.n_layers).map(|i| Layer::new(p, (config, arch), &names, &angles, i));
        let layers = layers.collect::<Result<_, _>>()?;
        let norm = config.has_final_norm().then(|| Norm::new(p, config, names.final_norm)).transpose()?;
        Ok(Self { word, position, layers, norm, max_seq_len: config.max_seq_len })
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
        let mut x = tape.dropout(&x, tape.pass().dropout(0))?;
        for (i, layer) in self.layers.iter().enumerate() {
            // Three masks a layer; the embeddings have the first.
            x = layer.forward(&x, batch.starts.as_ref(), tape, 1 + 3 * i as u64)?;
        }
        match &self.norm {
            Some(norm) => norm.forward(&x, tape),
            None => Ok(x),
        }
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
    /// Builds the model out of `params`. Of a model in which some layers have windows, these are the first ones.
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
