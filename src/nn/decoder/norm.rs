//! The norms of what has them before its blocks.

use candle_core::Tensor;

use crate::model::{Config, Norm as Kind};
use crate::nn::params::Init;
use crate::nn::{NnError, Params, Tape};

/// Hugging Face's defaults, where no checkpoint says others: `layer_norm_epsilon` of GPT-2, `norm_eps` of `ModernBERT`, and
/// `rms_norm_eps` of Llama.
const LAYER_EPS: f64 = 1e-5;
const RMS_EPS: f64 = 1e-6;

/// A layer norm or a root mean square norm.
pub(in crate::nn) enum Norm {
    Layer { gain: Tensor, bias: Tensor, eps: f64 },
    Rms { gain: Tensor, eps: f64 },
}

impl Norm {
    /// One of the model's kind, over its width.
    pub(in crate::nn) fn new(params: &mut Params, config: &Config, name: &str) -> Result<Self, NnError> {
        Self::of_width(params, config, name, config.d_model)
    }

    /// One over `width` elements.
    pub(super) fn of_width(params: &mut Params, config: &Config, name: &str, width: usize) -> Result<Self, NnError> {
        let kind = config.norm();
        let weight = |params: &mut Params| params.create(&format!("{name}.weight"), &[width], Init::Ones);
        // What a norm does not learn is no weight of the model.
        let fixed = |params: &Params, value: f64| Tensor::full(value, width, params.device())?.to_dtype(params.dtype());
        let layer_eps = params.constant("layer_norm_epsilon").or_else(|| params.constant("norm_eps"));
        let layer_eps = layer_eps.unwrap_or(LAYER_EPS);
        let rms_eps = params.constant("rms_norm_eps").unwrap_or(RMS_EPS);
        Ok(match kind {
            Kind::Rms => Self::Rms { gain: weight(params)?, eps: rms_eps },
            Kind::Layer => {
                let gain = weight(params)?;
                Self::Layer {
                    gain,
                    bias: params.create(&format!("{name}.bias"), &[width], Init::Zeros)?,
                    eps: layer_eps,
                }
            }
            Kind::LayerWithoutBias => Self::Layer { gain: weight(params)?, bias: fixed(params, 0.0)?, eps: layer_eps },
            Kind::WithoutWeights => {
                Self::Layer { gain: fixed(params, 1.0)?, bias: fixed(params, 0.0)?, eps: layer_eps }
            }
        })
    }

    /// # Shapes
    /// x `(.., width)`; result as x.
    pub(in crate::nn) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        Ok(match self {
            Self::Layer { gain, bias, eps } => tape.layer_norm(x, gain, bias, *eps)?,
            Self::Rms { gain, eps } => tape.rms_norm(x, gain, *eps)?,
        })
    }
}
