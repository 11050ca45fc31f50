//! A linear of the encoder: dense, or factorised.

use candle_core::Tensor;

use super::ops::Dropout;
use super::params::Init;
use super::{NnError, Params, Tape};
use crate::model::Arch;

/// `y = x W^T + b`, with W whole or as a product of two thin matrices.
pub(super) enum Linear {
    Dense {
        weight: Tensor,
        bias: Tensor,
    },
    /// Winata et al. 2020: E without a bias, D with one, and nothing between them.
    LowRank {
        encode: Tensor,
        decode: Tensor,
        bias: Tensor,
    },
}

impl Linear {
    /// A linear that the architecture may factorise.
    pub(super) fn new(params: &mut Params, name: &str, d_in: usize, d_out: usize, arch: Arch) -> Result<Self, NnError> {
        let Some(rank) = arch.rank() else { return Self::dense(params, name, d_in, d_out) };
        Ok(Self::LowRank {
            encode: params.create(&format!("{name}.encode.weight"), &[rank, d_in], Init::Normal)?,
            decode: params.create(&format!("{name}.decode.weight"), &[d_out, rank], Init::Normal)?,
            bias: params.create(&format!("{name}.decode.bias"), &[d_out], Init::Zeros)?,
        })
    }

    /// A linear that is dense in every architecture.
    pub(super) fn dense(params: &mut Params, name: &str, d_in: usize, d_out: usize) -> Result<Self, NnError> {
        Ok(Self::Dense {
            weight: params.create(&format!("{name}.weight"), &[d_out, d_in], Init::Normal)?,
            bias: params.create(&format!("{name}.bias"), &[d_out], Init::Zeros)?,
        })
    }

    /// # Shapes
    /// x `(.., d_in)`; result `(.., d_out)`.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        Ok(match self {
            Self::Dense { weight, bias } => tape.linear(x, weight, Some(bias))?,
            Self::LowRank { encode, decode, bias } => {
                tape.linear(&tape.linear(x, encode, None)?, decode, Some(bias))?
            }
        })
    }
}

/// Gain and bias of a layer norm.
pub(super) struct LayerNorm {
    gain: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// BERT's epsilon (Devlin et al.'s code; Hugging Face `layer_norm_eps`).
    const EPS: f64 = 1e-12;

    pub(super) fn new(params: &mut Params, name: &str, d: usize) -> Result<Self, NnError> {
        Ok(Self {
            gain: params.create(&format!("{name}.weight"), &[d], Init::Ones)?,
            bias: params.create(&format!("{name}.bias"), &[d], Init::Zeros)?,
        })
    }

    /// # Shapes
    /// x `(.., d)`; result as x.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        Ok(tape.layer_norm(x, &self.gain, &self.bias, Self::EPS)?)
    }

    /// The norm of a residual and the dropped-out branch `x` beside it.
    ///
    /// # Shapes
    /// x and residual `(.., d)`; result as x.
    pub(super) fn of_sum(
        &self,
        x: &Tensor,
        residual: &Tensor,
        tape: &Tape,
        dropout: Dropout,
    ) -> Result<Tensor, NnError> {
        Ok(tape.add_norm(x, residual, &self.gain, &self.bias, Self::EPS, dropout)?)
    }
}
