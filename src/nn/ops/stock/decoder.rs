//! The operations that decoders have beyond those of BERT.

use std::ops::Range;

use candle_core::{D, Device, Result, Tensor};

use super::super::activation::Activation;
use super::super::attention::{Heads, Sequences};
use super::super::rotary::Angles;
use super::super::visible::Visible;
use super::widen;

/// Shapes as in [`crate::nn::Tape::rms_norm`].
pub(in crate::nn) fn rms_norm(x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = widen(x)?;
    let mean = (x.sqr()?.sum_keepdim(D::Minus1)? / x.dim(D::Minus1)? as f64)?;
    let normed = x.broadcast_div(&(mean + eps)?.sqrt()?)?;
    normed.broadcast_mul(&gain.to_dtype(x.dtype())?)?.to_dtype(dtype)
}

/// Each head of `(B, T, heads d_head)` turned by its position.
pub(super) fn rotary(x: &Tensor, angles: &Angles) -> Result<Tensor> {
    let (b, t, width) = x.dims3()?;
    let ([positions, pairs], cos, sin) = angles.tables();
    let of = |values: &[f64]| {
        let table = Tensor::from_slice(values, (positions, pairs), x.device())?;
        table.narrow(0, 0, t)?.to_dtype(x.dtype())?.reshape((1, t, 1, pairs))
    };
    let (cos, sin) = (of(cos)?, of(sin)?);
    let d_head = angles.d_head();
    let heads = x.reshape((b, t, width / d_head, d_head))?;
    let (low, high) = (heads.narrow(3, 0, pairs)?, heads.narrow(3, pairs, pairs)?);
    let turned_low = (low.broadcast_mul(&cos)? - high.broadcast_mul(&sin)?)?;
    let turned_high = (high.broadcast_mul(&cos)? + low.broadcast_mul(&sin)?)?;
    let rest = d_head - 2 * pairs;
    let turned = match rest {
        0 => Tensor::cat(&[turned_low, turned_high], 3)?,
        _ => Tensor::cat(&[turned_low, turned_high, heads.narrow(3, 2 * pairs, rest)?], 3)?,
    };
    turned.reshape((b, t, width))
}

/// Shapes as in [`crate::nn::Tape::activation`].
pub(in crate::nn) fn activation(x: &Tensor, of: Activation) -> Result<Tensor> {
    let sigmoid = |x: &Tensor| (x.neg()?.exp()? + 1.0)?.recip();
    match of {
        Activation::Gelu => super::gelu(x),
        Activation::Tanh => x.tanh(),
        Activation::GeluTanh => {
            let inner = ((x + (x.sqr()?.mul(x)? * 0.044_715)?)? * (8.0 / std::f64::consts::PI).sqrt())?;
            x.mul(&sigmoid(&inner)?)
        }
        Activation::Silu => x.mul(&sigmoid(x)?),
        Activation::Relu => x.relu(),
    }
}

/// Shapes as in [`crate::nn::Tape::gate`].
pub(in crate::nn) fn gate(gate: &Tensor, up: &Tensor, of: Activation) -> Result<Tensor> {
    activation(gate, of)?.mul(up)
}

/// Shapes as in [`crate::nn::Tape::columns`].
pub(in crate::nn) fn columns(x: &Tensor, columns: Range<usize>) -> Result<Tensor> {
    x.narrow(D::Minus1, columns.start, columns.len())?.contiguous()
}

/// Shapes as in [`crate::nn::Tape::head_loss`]: all logits at once.
pub(in crate::nn) fn head_loss(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, labels: &Tensor) -> Result<Tensor> {
    super::cross_entropy(&super::linear(x, w, bias)?, labels)
}

/// What is added to the scores `(b, 1, t, keys)`, or `(1, 1, t, keys)` where all sequences see alike: far below any score where
/// a query does not see a key.
pub(super) fn unseen(of: Sequences<'_>, heads: Heads, [b, t, keys]: [usize; 3], like: &Tensor) -> Result<Tensor> {
    let starts = of.starts.map(|starts| starts.to_device(&Device::Cpu)).transpose()?;
    let visible = Visible::new(heads.sight, starts.as_ref(), [b, t, keys])?;
    let sequences = if of.starts.is_some() { b } else { 1 };
    let mut bias = vec![-1e4f32; sequences * t * keys];
    for (i, row) in bias.chunks_exact_mut(keys).enumerate() {
        row[visible.of_row(i / t, i % t)].fill(0.0);
    }
    Tensor::from_vec(bias, (sequences, 1, t, keys), like.device())?.to_dtype(like.dtype())
}
