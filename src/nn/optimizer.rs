//! AdamW (Loshchilov and Hutter 2019, algorithm 2).

use candle_core::Tensor;

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

    /// Changes the learning rate of the steps that follow.
    pub fn set_lr(&mut self, lr: f64) {
        self.config.lr = lr;
    }

    /// Both moments of every weight that is trained, by its name.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn moments<'a>(&self, params: &'a Params) -> Result<Vec<(&'a str, [Tensor; 2])>, NnError> {
        let both = params.iter().zip(&self.moments);
        both.map(|((name, var), moments)| Ok((name, moments.tensors(var)?))).collect()
    }

    /// Goes on after `steps` steps, with the moments that `of` gives of each weight by its name.
    ///
    /// # Errors
    /// If one is missing or of another shape.
    pub fn go_on(
        &mut self,
        params: &Params,
        steps: i32,
        mut of: impl FnMut(&str) -> Result<[Tensor; 2], NnError>,
    ) -> Result<(), NnError> {
        self.steps = steps;
        params.iter().zip(&mut self.moments).try_for_each(|((name, var), moments)| Ok(moments.set(var, &of(name)?)?))
    }
}

/// Shortens the gradient of all weights of `all` together to the norm `most`, where it is longer (Pascanu et al. 2013). Gives its norm before.
///
/// # Errors
/// If memory runs out.
pub fn clip_gradients(all: &[&Params], gradients: &mut Gradients, most: f64) -> Result<f64, NnError> {
    /// So that a norm of nothing divides nothing; PyTorch has the same.
    const LEAST: f64 = 1e-6;
    let mut squares = 0.0;
    for (_, var) in all.iter().flat_map(|params| params.iter()) {
        squares += gradients.sum_of_squares(var)?.unwrap_or(0.0);
    }
    let norm = squares.sqrt();
    let factor = most / (norm + LEAST);
    if factor < 1.0 {
        all.iter().flat_map(|params| params.iter()).try_for_each(|(_, var)| gradients.scale(var, factor))?;
    }
    Ok(norm)
}
