//! The norms of decoders.

use candle_core::Tensor;

use crate::model::{Config, Norm as Kind};
use crate::nn::params::Init;
use crate::nn::{NnError, Params, Tape};

/// Hugging Face's defaults: `layer_norm_epsilon` of GPT-2 and `rms_norm_eps` of Llama.
const LAYER_EPS: f64 = 1e-5;
const RMS_EPS: f64 = 1e-6;

/// A layer norm or a root mean square norm.
pub(super) enum Norm {
    Layer { gain: Tensor, bias: Tensor },
    Rms { gain: Tensor },
}

impl Norm {
    /// One of the model's kind, over its width.
    pub(super) fn new(params: &mut Params, config: &Config, name: &str) -> Result<Self, NnError> {
        Self::of_width(params, config, name, config.d_model)
    }

    /// One over `width` elements.
    pub(super) fn of_width(params: &mut Params, config: &Config, name: &str, width: usize) -> Result<Self, NnError> {
        let kind = config.norm();
        let weight = |params: &mut Params| params.create(&format!("{name}.weight"), &[width], Init::Ones);
        // What a norm does not learn is no weight of the model.
        let fixed = |params: &Params, value: f64| Tensor::full(value, width, params.device())?.to_dtype(params.dtype());
        Ok(match kind {
            Kind::Rms => Self::Rms { gain: weight(params)? },
            Kind::Layer => {
                let gain = weight(params)?;
                Self::Layer { gain, bias: params.create(&format!("{name}.bias"), &[width], Init::Zeros)? }
            }
            Kind::LayerWithoutBias => Self::Layer { gain: weight(params)?, bias: fixed(params, 0.0)? },
            Kind::WithoutWeights => Self::Layer { gain: fixed(params, 1.0)?, bias: fixed(params, 0.0)? },
        })
    }

    /// # Shapes
    /// x `(.., width)`; result as x.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        Ok(match self {
            Self::Layer { gain, bias } => tape.layer_norm(x, gain, bias, LAYER_EPS)?,
            Self::Rms { gain } => tape.rms_norm(x, gain, RMS_EPS)?,
        })
    }
}
