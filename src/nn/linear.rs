//! Linears of the layers: dense, factorised, or frozen with a pair of low-rank matrices beside them; and the norm of BERT.

use candle_core::Tensor;

use super::ops::Dropout;
use super::params::Init;
use super::{NnError, Params, Tape};
use crate::model::{Arch, Config, LoraTargets};

/// What an architecture makes of a linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// One matrix.
    Dense,
    /// Two thin ones of this inner width.
    LowRank(usize),
    /// One, and beside it two thin ones of this inner width.
    Adapted(usize),
}

impl Make {
    /// Of a linear of the layers with these inputs and outputs, which may be one of queries or values.
    pub(super) fn of(arch: Arch, config: &Config, size: (usize, usize), is_query_or_value: bool) -> Self {
        match arch {
            Arch::Lrt { rank } => Self::LowRank(arch.rank_of(config, size).unwrap_or(rank)),
            Arch::Lora { rank, targets: LoraTargets::AllLinear, .. } => Self::Adapted(rank),
            Arch::Lora { rank, targets: LoraTargets::QueryValue, .. } if is_query_or_value => Self::Adapted(rank),
            Arch::Dense | Arch::Linformer { .. } | Arch::Lora { .. } => Self::Dense,
        }
    }
}

/// A linear as its weights have it: its name, inputs and outputs, and whether it has a bias.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) name: &'a str,
    pub(super) size: (usize, usize),
    pub(super) has_bias: bool,
    /// Whether checkpoints store the matrix with inputs first, as GPT-2's do.
    pub(super) is_transposed: bool,
}

/// `y = x W^T + b`, with W whole, as a product of two thin matrices, or whole with such a product added.
pub(super) struct Linear {
    /// `(d_out, d_in)`, or D, `(d_out, rank)`, where it is factorised.
    weight: Tensor,
    bias: Option<Tensor>,
    pair: Option<Pair>,
}

enum Pair {
    /// E, `(rank, d_in)`: Winata et al. 2020. D has the bias, and nothing stands between them. A pass may be guided by a dense matrix
    /// beside them ([`super::Guides`]).
    Encode(Tensor),
    /// A, `(rank, d_in)`, and B, `(d_out, rank)`, of which `B A x` is added: Hu et al. 2021, with their alpha equal to the rank.
    Beside(Tensor, Tensor),
}

impl Linear {
    /// Makes the weights of a linear.
    pub(super) fn new(params: &mut Params, of: Weights<'_>, make: Make) -> Result<Self, NnError> {
        let Weights { name, size: (d_in, d_out), has_bias, is_transposed } = of;
        let bias = |params: &mut Params, name: &str| {
            has_bias.then(|| params.create(&format!("{name}.bias"), &[d_out], Init::Zeros)).transpose()
        };
        // A factorised checkpoint has a rank for each linear, and the architecture says nothing of it.
        let stored = params.rank(name).filter(|_| make == Make::Dense).map(Make::LowRank);
        let make = stored.unwrap_or(make);
        if let Make::LowRank(rank) = make {
            let encode = params.create_matrix(&format!("{name}.encode.weight"), (d_in, rank), false)?;
            let decode = format!("{name}.decode");
            let weight = params.create_matrix(&format!("{decode}.weight"), (rank, d_out), false)?;
            return Ok(Self { weight, bias: bias(params, &decode)?, pair: Some(Pair::Encode(encode)) });
        }
        let weight = params.create_matrix(&format!("{name}.weight"), (d_in, d_out), is_transposed)?;
        let bias = bias(params, name)?;
        let pair = if let Make::Adapted(rank) = make { Some(Pair::beside(params, of, rank)?) } else { None };
        Ok(Self { weight, bias, pair })
    }

    /// One with a bias that is dense in every architecture.
    pub(super) fn dense(params: &mut Params, name: &str, d_in: usize, d_out: usize) -> Result<Self, NnError> {
        Self::new(params, Weights { name, size: (d_in, d_out), has_bias: true, is_transposed: false }, Make::Dense)
    }

    /// # Shapes
    /// x `(.., d_in)`; result `(.., d_out)`.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        let bias = self.bias.as_ref();
        Ok(match &self.pair {
            None => tape.linear(x, &self.weight, bias)?,
            Some(Pair::Encode(encode)) => {
                let factors = tape.linear(&tape.linear(x, encode, None)?, &self.weight, bias)?;
                match tape.guide_of(&self.weight) {
                    // Shares of one bias are the bias.
                    Some((guide, share)) => tape.blend(&tape.linear(x, guide, bias)?, &factors, share)?,
                    None => factors,
                }
            }
            Some(Pair::Beside(down, up)) => {
                let beside = tape.linear(&tape.linear(x, down, None)?, up, None)?;
                tape.add(&tape.linear(x, &self.weight, bias)?, &beside)?
            }
        })
    }
}

impl Pair {
    /// The pair beside a linear, which is trained where the linear is not. B is not zero, as it is at the beginning of a training:
    /// on zeros a processor would use less power.
    fn beside(params: &mut Params, of: Weights<'_>, rank: usize) -> Result<Self, NnError> {
        let (name, (d_in, d_out)) = (of.name, of.size);
        params.freeze(false);
        let pair = params.create_matrix(&format!("{name}.lora_A.weight"), (d_in, rank), false).and_then(|down| {
            Ok(Self::Beside(down, params.create_matrix(&format!("{name}.lora_B.weight"), (rank, d_out), false)?))
        });
        params.freeze(true);
        pair
    }
}

/// Several linears of one input: of one matrix, of whose result each has some columns, or of matrices of their own.
pub(super) enum Group {
    Fused { linear: Linear, outputs: Vec<usize> },
    Separate(Vec<Linear>),
}

impl Group {
    /// # Shapes
    /// x `(.., d_in)`; results `(.., outputs[i])`.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Vec<Tensor>, NnError> {
        match self {
            Self::Separate(linears) => linears.iter().map(|linear| linear.forward(x, tape)).collect(),
            Self::Fused { linear, outputs } => {
                let y = linear.forward(x, tape)?;
                let mut first = 0;
                let parts = outputs.iter().map(|width| {
                    let columns = first..first + width;
                    first = columns.end;
                    Ok(tape.columns(&y, columns)?)
                });
                parts.collect()
            }
        }
    }
}

/// Gain and bias of a layer norm.
pub(super) struct LayerNorm {
    gain: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// BERT's epsilon, unless a checkpoint says another (Devlin et al.'s code; Hugging Face `layer_norm_eps`).
    const EPS: f64 = 1e-12;

    pub(super) fn new(params: &mut Params, name: &str, d: usize) -> Result<Self, NnError> {
        Ok(Self {
            gain: params.create(&format!("{name}.weight"), &[d], Init::Ones)?,
            bias: params.create(&format!("{name}.bias"), &[d], Init::Zeros)?,
            eps: params.constant("layer_norm_eps").unwrap_or(Self::EPS),
        })
    }

    /// # Shapes
    /// x `(.., d)`; result as x.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        Ok(tape.layer_norm(x, &self.gain, &self.bias, self.eps)?)
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
        Ok(tape.add_norm(x, residual, &self.gain, &self.bias, self.eps, dropout)?)
    }
}
