//! A model without its heads, which a checkpoint may lack.

use candle_core::Tensor;

use super::bert::Bert;
use super::decoder::Decoder;
use super::modern_bert::ModernBert;
use super::{CausalBatch, NnError, Params, Tape};
use crate::model::{Arch, Computed, Config};

/// Embeddings and layers of a model.
pub struct Body {
    layers: Layers,
    params: Params,
}

enum Layers {
    Bert(Bert),
    ModernBert(ModernBert),
    Decoder(Decoder),
}

impl Body {
    /// Builds it out of `params`.
    ///
    /// # Errors
    /// If no model of this shape is built here, the architecture does not fit it, a checkpoint lacks a weight, or memory runs out.
    pub fn new(config: &Config, arch: Arch, mut params: Params) -> Result<Self, NnError> {
        let p = &mut params;
        let layers = match config.computed()? {
            Computed::Bert => Layers::Bert(Bert::new(p, config, arch)?),
            Computed::ModernBert => Layers::ModernBert(ModernBert::new(p, config, arch)?),
            Computed::Decoder => Layers::Decoder(Decoder::new(p, config, arch)?),
        };
        Ok(Self { layers, params })
    }

    /// The weights.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The hidden states after the last layer, and after the norm that a decoder and `ModernBERT` have there.
    ///
    /// # Shapes
    /// ids and segments `(B, T)`, of u32; BERT alone has segments. Result `(B, T, D)`.
    ///
    /// # Errors
    /// If the sequences are longer than the model takes, or memory runs out.
    pub fn hidden(&self, ids: &Tensor, segments: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        tape.use_weights(self.params.tensors())?;
        tape.freeze(self.params.frozen());
        match &self.layers {
            Layers::Bert(bert) => bert.forward(ids, segments, None, tape),
            Layers::ModernBert(model) => model.forward(ids, None, tape),
            Layers::Decoder(decoder) => {
                // Labels are for the loss alone.
                let batch =
                    CausalBatch { input_ids: ids.clone(), starts: None, rows: None, labels: ids.flatten_all()? };
                decoder.forward(&batch, tape)
            }
        }
    }
}
