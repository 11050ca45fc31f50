//! From which width on factors are faster than the matrices that they stand for.

use candle_core::{DType, Device};
use serde::Serialize;

use super::super::energy::Energy;
use super::super::share::rank_of_share;
use super::FactorizeError;
use super::turns::{Pair, Until};
use crate::model::{Arch, Config, Details};
use crate::nn::{Body, Params};
use crate::stats::Interval;

/// Widths of layers that are tried.
const WIDTHS: [usize; 6] = [64, 128, 256, 512, 1024, 2048];
/// Width of a head.
const HEAD: usize = 64;
/// Which side of 1 a ratio is on needs no more precision than this.
const PRECISION: f64 = 0.03;
/// The most turns at each width.
const MOST_TURNS: usize = 15;
/// Rows of the embedding: no more than are looked up.
const VOCABULARY: usize = 256;

/// One layer by its width, with factors beside without.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Widths {
    /// The share of the weights of the linears that the factors keep, at most.
    pub keep: f64,
    /// Tokens of a pass.
    pub seq_len: usize,
    /// What was measured, in order of the width.
    pub tried: Vec<WidthTried>,
}

/// One layer of a width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WidthTried {
    /// Width of the layer.
    pub d_model: usize,
    /// Rank of its factors.
    pub rank: usize,
    /// The time of a pass, times that without factors.
    pub vs_dense: Interval,
}

impl Widths {
    /// The least width from which on all that were tried are faster beyond doubt; `None` if the widest is not.
    #[must_use]
    pub fn faster_from(&self) -> Option<usize> {
        let faster = self.tried.iter().rev().take_while(|tried| tried.vs_dense.high < 1.0);
        faster.last().map(|tried| tried.d_model)
    }

    /// The widest that was tried.
    #[must_use]
    pub fn widest(&self) -> usize {
        self.tried.iter().map(|tried| tried.d_model).max().unwrap_or(0)
    }
}

/// Measures layers of the family of `config`, with feed-forward blocks of four widths and heads of 64, at each width.
pub(super) fn widths(
    config: &Config,
    (keep, seq_len): (f64, usize),
    (precision, seed): (f64, u64),
    energy: &mut Energy,
) -> Result<Widths, FactorizeError> {
    let until = Until { precision: precision.max(PRECISION), most_turns: MOST_TURNS };
    let try_width = |d_model: usize| {
        let config = Config {
            n_layers: 1,
            d_model,
            n_heads: (d_model / HEAD).max(1),
            d_ff: 4 * d_model,
            vocab_size: VOCABULARY,
            max_seq_len: seq_len,
            // An encoder's is a layer of BERT, which has segments.
            type_vocab_size: config.type_vocab_size.max(1),
            gated_mlp: false,
            details: Details::default(),
            ..config.clone()
        };
        let rank = rank_of_share(&config, keep)?;
        let body = |arch| Body::new(&config, arch, Params::random(seed, DType::F32, &Device::Cpu));
        let (dense, own) = (body(Arch::Dense)?, body(Arch::Lrt { rank })?);
        let pair = Pair { dense: &dense, own: &own, config: &config, seed, until };
        let vs_dense = pair.in_turns(seq_len, energy, &mut |_| {})?.vs_dense;
        Ok(WidthTried { d_model, rank, vs_dense })
    };
    let tried = WIDTHS.into_iter().map(try_width).collect::<Result<Vec<WidthTried>, FactorizeError>>()?;
    Ok(Widths { keep, seq_len, tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_faster_from_the_width_on_after_which_none_is_slower() {
        let of = |ratios: [f64; 4]| Widths {
            keep: 0.5,
            seq_len: 128,
            tried: [64, 128, 256, 512]
                .into_iter()
                .zip(ratios)
                .map(|(d_model, mid)| {
                    let vs_dense = Interval { mid, low: 0.95 * mid, high: 1.05 * mid };
                    WidthTried { d_model, rank: 1, vs_dense }
                })
                .collect(),
        };
        assert_eq!(of([1.2, 0.9, 0.8, 0.7]).faster_from(), Some(128));
        // One that is not faster beyond doubt counts as none.
        assert_eq!(of([0.9, 0.99, 0.8, 0.7]).faster_from(), Some(256));
        assert_eq!(of([0.9, 0.8, 0.8, 1.0]).faster_from(), None);
        assert_eq!(of([0.9, 0.8, 0.8, 0.7]).faster_from(), Some(64));
    }
}
