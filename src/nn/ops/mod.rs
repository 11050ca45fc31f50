//! Operations with gradients that are right, in two makes.
//!
//! [`Ops::Fused`] runs each operation in one pass over its data, with an analytic gradient that recomputes
//! what it can instead of keeping it. [`Ops::Stock`] composes the same out of candle's operations. On a device or
//! in a dtype that has no fused kernel, the stock composition is used.
//!
//! candle's own fused softmax and layer norm cut the graph without a word (candle-nn 0.11.1, `ops.rs`:
//! `apply_op*_no_bwd`), and its GELU has a gradient that is off in the seventh digit; none of them is used.

mod adamw;
mod attention;
mod cross_entropy;
mod dropout;
mod gelu;
mod gemm;
mod layer_norm;
mod linear;
mod math;
mod real;
mod stock;

use candle_core::{DType, Result, Tensor};

pub use crate::model::Ops;
pub use adamw::{AdamWRates, Moments, adamw};
pub use attention::Heads;
pub use dropout::Dropout;

impl Ops {
    /// Whether `x` has fused kernels.
    fn fused(self, x: &Tensor) -> bool {
        self == Self::Fused && x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
    }

    /// `x W^T + b`.
    ///
    /// # Shapes
    /// x `(.., i)`, w `(o, i)`, b `(o)`; result `(.., o)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn linear(self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        if self.fused(x) && w.dtype() == x.dtype() { linear::linear(x, w, b) } else { stock::linear(x, w, b) }
    }

    /// Layer normalisation over the last axis (Ba et al. 2016): `(x - mean) / sqrt(var + eps) * gain + bias`.
    ///
    /// # Shapes
    /// x `(.., d)`, gain and bias `(d)`; result as x.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn layer_norm(self, x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
        if self.fused(x) && gain.dtype() == x.dtype() {
            layer_norm::layer_norm(x, gain, bias, eps)
        } else {
            stock::layer_norm(x, gain, bias, eps)
        }
    }

    /// `layer_norm(residual + dropout(x))`: the end of each half of a post-norm layer.
    ///
    /// # Shapes
    /// x and residual `(.., d)`, gain and bias `(d)`; result as x.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn add_norm(
        self,
        x: &Tensor,
        residual: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        eps: f64,
        dropout: Dropout,
    ) -> Result<Tensor> {
        if self.fused(x) && gain.dtype() == x.dtype() {
            layer_norm::add_norm(x, residual, gain, bias, eps, dropout)
        } else {
            stock::layer_norm(&(residual + self.dropout(x, dropout)?)?, gain, bias, eps)
        }
    }

    /// Multi-head attention with dropout of its weights: `dropout(softmax(Q K^T / sqrt(d_head) + mask)) V`.
    ///
    /// # Shapes
    /// q `(B, T, D)`, k and v `(B, K, D)`, mask `(B, K)` of what is added to the scores; result `(B, T, D)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn attention(self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, heads: Heads) -> Result<Tensor> {
        if self.fused(q) { attention::attention(q, k, v, mask, heads) } else { stock::attention(q, k, v, mask, heads) }
    }

    /// `x Phi(x)` with the distribution function of the normal, exact (Hendrycks and Gimpel 2016).
    ///
    /// # Shapes
    /// Any; result as x.
    ///
    /// # Errors
    /// If the dtype is not a float.
    pub fn gelu(self, x: &Tensor) -> Result<Tensor> {
        if self.fused(x) { gelu::gelu(x) } else { stock::gelu(x) }
    }

    /// Sets each element to 0 with the probability of `dropout` and scales the others up.
    ///
    /// # Shapes
    /// Any; result as x.
    ///
    /// # Errors
    /// If the dtype is not a float.
    pub fn dropout(self, x: &Tensor, dropout: Dropout) -> Result<Tensor> {
        dropout::dropout(x, dropout)
    }

    /// The mean of `-log softmax(logits)[label]` over the rows.
    ///
    /// # Shapes
    /// logits `(n, classes)`, labels `(n)` of u32; result a scalar of f32 (f64 for f64).
    ///
    /// # Errors
    /// If the shapes do not fit or a label is out of range.
    pub fn cross_entropy(self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        if self.fused(logits) {
            cross_entropy::cross_entropy(logits, labels)
        } else {
            stock::cross_entropy(logits, labels)
        }
    }
}
