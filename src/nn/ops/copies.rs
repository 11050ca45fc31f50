//! Copies of weights in the number type of a pass.

use std::collections::HashMap;

use candle_core::{DType, Result, Tensor, TensorId};

/// Copies by the weight they are of. Made all at once for a whole pass: else every product would make its own, forward and
/// again backward.
#[derive(Default)]
pub(in crate::nn) struct Copies(HashMap<TensorId, Tensor>);

impl Copies {
    /// Copies of weights of f32 as another `dtype`. Only a GPU's operations take them, so elsewhere there are none.
    ///
    /// # Errors
    /// If memory runs out.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(clippy::unnecessary_wraps, reason = "on the CPU there is nothing to fail")
    )]
    pub(in crate::nn) fn of<'a>(weights: impl Iterator<Item = &'a Tensor>, dtype: DType) -> Result<Self> {
        let others: Vec<&Tensor> =
            weights.filter(|w| w.device().is_cuda() && w.dtype() == DType::F32 && dtype != DType::F32).collect();
        #[cfg(feature = "cuda")]
        let copies = super::cuda::cast_many(&others, dtype)?;
        #[cfg(not(feature = "cuda"))]
        let copies: Vec<Tensor> = Vec::new();
        Ok(Self(others.iter().map(|w| w.id()).zip(copies).collect()))
    }

    /// The copy of a weight, if there is one.
    pub(in crate::nn) fn get(&self, weight: &Tensor) -> Option<Tensor> {
        self.0.get(&weight.id()).cloned()
    }
}
