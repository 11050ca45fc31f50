//! Dense matrices beside the factors of a low-rank model, which guide the beginning of its training.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Tensor, TensorId};

use super::{Checkpoint, NnError, Params};

/// How the names of the factors of a linear end, and that of its guide.
const ENCODE: &str = ".encode.weight";
const DECODE: &str = ".decode.weight";
const GUIDE: &str = ".guide.weight";

/// A dense matrix W for each linear that is two factors, D and E, in a model. A pass that is guided by the share a computes
/// `a W x + (1 - a) D E x + b` in the place of `D E x + b`: self-guided training (Wei et al. 2024, arXiv 2406.16450). W is trained
/// beside the model and is no part of it.
pub struct Guides {
    params: Params,
    /// By what D is known by.
    of: Arc<HashMap<TensorId, Tensor>>,
}

impl Guides {
    /// Guides that are the products of the factors, so that the model computes at first what it computed before: as the authors' code
    /// begins (CLAIRE-Labo/StructuredFFN, `lowrank.py`).
    ///
    /// # Errors
    /// If memory runs out.
    pub fn of_factors(model: &Params) -> Result<Self, NnError> {
        Self::new(model, |_, decode, encode| Ok(decode.matmul(encode)?))
    }

    /// Those of a checkpoint.
    ///
    /// # Errors
    /// If one is missing or of another shape.
    pub fn read(model: &Params, checkpoint: &Checkpoint) -> Result<Self, NnError> {
        Self::new(model, |name, decode, encode| {
            let read = checkpoint.load(name, &[decode.dim(0)?, encode.dim(1)?], model.device())?;
            Ok(read.to_dtype(model.dtype())?)
        })
    }

    fn new(model: &Params, guide: impl Fn(&str, &Tensor, &Tensor) -> Result<Tensor, NnError>) -> Result<Self, NnError> {
        let (mut weights, mut names) = (Vec::new(), Vec::new());
        for (name, encode) in model.iter() {
            let Some(linear) = name.strip_suffix(ENCODE) else { continue };
            let Some(decode) = model.get(&format!("{linear}{DECODE}")) else { continue };
            let name = format!("{linear}{GUIDE}");
            weights.push((name.clone(), guide(&name, decode, encode)?));
            names.push((decode.id(), name));
        }
        let params = Params::of_tensors(weights, model.device(), model.dtype())?;
        let of = names.iter().filter_map(|(id, name)| Some((*id, params.get(name)?.as_tensor().clone())));
        Ok(Self { of: Arc::new(of.collect()), params })
    }

    /// The matrices, each called `LINEAR.guide.weight`, of `(d_out, d_in)`.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// By what the second factor of a linear is known by.
    pub(super) fn by_decode(&self) -> Arc<HashMap<TensorId, Tensor>> {
        Arc::clone(&self.of)
    }
}
