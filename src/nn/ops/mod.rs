//! Operations with gradients that are right.
//!
//! candle's own fused softmax and layer norm cut the graph without a word (candle-nn 0.11.1, `ops.rs`:
//! `apply_op*_no_bwd`); these are composed of operations that have a gradient. Sums and exponentials of
//! half-precision inputs are taken in f32.

mod dropout;
mod gelu;

use candle_core::{D, DType, Result, Tensor};

pub use dropout::dropout;
pub use gelu::gelu;

/// `x W^T + b`.
///
/// # Shapes
/// x `(.., i)`, w `(o, i)`, b `(o)`; result `(.., o)`.
///
/// # Errors
/// If the shapes do not fit.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let dims = x.dims();
    let (rows, columns) = (dims[..dims.len() - 1].iter().product::<usize>(), dims[dims.len() - 1]);
    let w = w.to_dtype(x.dtype())?;
    let y = x.reshape((rows, columns))?.matmul(&w.t()?)?;
    let y = match b {
        Some(b) => y.broadcast_add(&b.to_dtype(x.dtype())?)?,
        None => y,
    };
    let mut shape = dims.to_vec();
    *shape.last_mut().expect("a tensor with a last axis") = w.dim(0)?;
    y.reshape(shape)
}

/// Layer normalisation over the last axis (Ba et al. 2016): `(x - mean) / sqrt(var + eps) * gain + bias`.
///
/// # Shapes
/// x `(.., d)`, gain and bias `(d)`; result as x.
///
/// # Errors
/// If the shapes do not fit.
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = widen(x)?;
    let d = x.dim(D::Minus1)? as f64;
    let centred = x.broadcast_sub(&(x.sum_keepdim(D::Minus1)? / d)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / d)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normed.broadcast_mul(&gain.to_dtype(x.dtype())?)?.broadcast_add(&bias.to_dtype(x.dtype())?)?.to_dtype(dtype)
}

/// Softmax over the last axis.
///
/// # Shapes
/// x `(.., n)`; result as x.
///
/// # Errors
/// If x has no last axis.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = widen(x)?;
    // The maximum only shifts the exponent: it has no gradient of its own.
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let exp = shifted.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?.to_dtype(dtype)
}

/// The mean of `-log softmax(logits)[label]` over the rows.
///
/// # Shapes
/// logits `(n, classes)`, labels `(n)` of u32; result a scalar of f32 (f64 for f64).
///
/// # Errors
/// If the shapes do not fit or a label is out of range.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let logits = widen(logits)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let picked = shifted.gather(&labels.unsqueeze(1)?, 1)?;
    (log_sum - picked)?.mean_all()
}

/// f32 for half precision; f32 and f64 as they are.
fn widen(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
