//! The models that are built here, and their input.

use candle_core::{Device, Tensor};

use super::linears::{self, LayerLinear};
use super::{Batch, BertForPreTraining, CausalBatch, CausalLm, ModernBertForMaskedLm, NnError, Params, Tape, decoder};
use crate::model::{Arch, Computed, Config, StepShape};

/// A model with its heads.
pub enum Model {
    /// BERT with its pre-training heads.
    Bert(Box<BertForPreTraining>),
    /// `ModernBERT` with its masked-LM head.
    ModernBert(Box<ModernBertForMaskedLm>),
    /// A decoder.
    Decoder(Box<CausalLm>),
}

/// What one step of a model sees.
#[derive(Debug, Clone)]
pub enum Input {
    /// Of BERT and of `ModernBERT`.
    Pretraining(Batch),
    /// Of a decoder.
    Causal(CausalBatch),
}

impl Model {
    /// Builds the model out of `params`.
    ///
    /// # Errors
    /// If it is built as none of these, the architecture does not fit it, a checkpoint lacks a weight, or memory runs out.
    pub fn new(config: &Config, arch: Arch, params: Params) -> Result<Self, NnError> {
        Ok(match config.computed()? {
            Computed::Bert => Self::Bert(Box::new(BertForPreTraining::new(config, arch, params)?)),
            Computed::ModernBert => Self::ModernBert(Box::new(ModernBertForMaskedLm::new(config, arch, params)?)),
            Computed::Decoder => Self::Decoder(Box::new(CausalLm::new(config, arch, params)?)),
        })
    }

    /// The weights.
    #[must_use]
    pub fn params(&self) -> &Params {
        match self {
            Self::Bert(model) => model.params(),
            Self::ModernBert(model) => model.params(),
            Self::Decoder(model) => model.params(),
        }
    }

    /// What is minimised, a scalar.
    ///
    /// # Errors
    /// If the input is of another model, its sequences are longer than the model takes, or memory runs out.
    pub fn loss(&self, input: &Input, tape: &Tape) -> Result<Tensor, NnError> {
        match (self, input) {
            (Self::Bert(model), Input::Pretraining(batch)) => Ok(model.losses(batch, tape)?.total),
            (Self::ModernBert(model), Input::Pretraining(batch)) => model.masked_lm(batch, tape),
            (Self::Decoder(model), Input::Causal(batch)) => model.loss(batch, tape),
            _ => Err(NnError::OtherInput),
        }
    }
}

impl Input {
    /// Uniformly random tokens for a model of this shape.
    ///
    /// # Errors
    /// If no model of this shape is built here, or the device has no room.
    pub fn random(config: &Config, shape: StepShape, seed: u64, device: &Device) -> Result<Self, NnError> {
        Ok(match config.computed()? {
            Computed::Bert | Computed::ModernBert => Self::Pretraining(Batch::random(config, shape, seed, device)?),
            Computed::Decoder => Self::Causal(CausalBatch::random(config, shape, seed, device)?),
        })
    }
}

/// Every linear of the layers of a model that is built here, in their order; those of embeddings and heads are not among them.
///
/// # Errors
/// If no model of this shape is built here.
pub fn linears(config: &Config) -> Result<Vec<LayerLinear>, NnError> {
    Ok(match config.computed()? {
        Computed::Bert => linears::of_bert(config),
        Computed::ModernBert | Computed::Decoder => decoder::linears(config),
    })
}
