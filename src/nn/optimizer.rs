//! AdamW (Loshchilov and Hutter 2019, algorithm 2).

use super::ops::{AdamWRates, Gradients, Moments, Update, adamw};
use super::{NnError, Ops, Params};

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
    moments: Vec<Moments>,
    steps: i32,
}

impl AdamW {
    /// Moments of zero for every weight that is trained.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn new(params: &Params, config: AdamWConfig, ops: Ops) -> Result<Self, NnError> {
        let zeros = params.iter().map(|(_, var)| Moments::zeros(var, ops == Ops::Fused));
        Ok(Self { config, moments: zeros.collect::<Result<_, _>>()?, steps: 0 })
    }

    /// One update of every weight that is trained.
    ///
    /// # Errors
    /// If a weight has no gradient: then part of the model was not computed.
    pub fn step(&mut self, params: &Params, gradients: &Gradients) -> Result<(), NnError> {
        self.steps += 1;
        let AdamWConfig { lr, beta1, beta2, eps, weight_decay } = self.config;
        let rates = AdamWRates { lr, beta1, beta2, eps, weight_decay, step: self.steps };
        let updates = params.iter().zip(&mut self.moments).map(|((name, var), moments)| {
            let gradient = gradients.get(var).ok_or_else(|| NnError::NoGradient(name.to_owned()))?;
            Ok(Update { var, gradient, moments })
        });
        Ok(adamw(&mut updates.collect::<Result<Vec<_>, NnError>>()?, rates)?)
    }
}
