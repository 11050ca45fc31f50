//! AdamW (Loshchilov and Hutter 2019, algorithm 2).

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::{BertForPreTraining, NnError};

/// The constants of AdamW. The defaults are the peer's: BERT's rates (Devlin et al. 2018, appendix A.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01 }
    }
}

/// The moments of every weight.
pub struct AdamW {
    config: AdamWConfig,
    moments: Vec<(Tensor, Tensor)>,
    steps: i32,
}

impl AdamW {
    /// Moments of zero for every weight of `model`.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn new(model: &BertForPreTraining, config: AdamWConfig) -> Result<Self, NnError> {
        let zeros = model.named_vars().map(|(_, var)| Ok((var.zeros_like()?, var.zeros_like()?)));
        let moments = zeros.collect::<Result<_, candle_core::Error>>()?;
        Ok(Self { config, moments, steps: 0 })
    }

    /// One update of every weight.
    ///
    /// # Errors
    /// If a weight has no gradient: then part of the model was not computed.
    pub fn step(&mut self, model: &BertForPreTraining, grads: &GradStore) -> Result<(), NnError> {
        self.steps += 1;
        let AdamWConfig { lr, beta1, beta2, eps, weight_decay } = self.config;
        let (scale_m, scale_v) = (1.0 / (1.0 - beta1.powi(self.steps)), 1.0 / (1.0 - beta2.powi(self.steps)));
        for ((name, var), (m, v)) in model.named_vars().zip(&mut self.moments) {
            let g = grads.get(var).ok_or_else(|| NnError::NoGradient(name.to_owned()))?;
            *m = ((m.detach() * beta1)? + (g * (1.0 - beta1))?)?;
            *v = ((v.detach() * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
            let update = ((&*m * scale_m)? / ((&*v * scale_v)?.sqrt()? + eps)?)?;
            let decayed = (var.as_tensor().detach() * (1.0 - lr * weight_decay))?;
            var.set(&(decayed - (update * lr)?)?)?;
        }
        Ok(())
    }
}
