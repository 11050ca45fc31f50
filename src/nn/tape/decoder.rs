//! The operations that decoders have beyond those of BERT.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::Tape;
use crate::nn::ops::{Activation, Add, Columns, Dropout, Gate, HeadLoss, RmsNorm, Wanted, stock};

impl Tape {
    /// Root mean square norm over the last axis (Zhang and Sennrich 2019): `x / sqrt(mean(x^2) + eps) * gain`.
    ///
    /// # Shapes
    /// x `(.., d)`, gain `(d)`; result as x.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn rms_norm(&self, x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
        if self.fused { self.apply(RmsNorm { eps }, &[x, gain]) } else { stock::rms_norm(x, gain, eps) }
    }

    /// `residual + dropout(x)`.
    ///
    /// # Shapes
    /// Two of one shape; result as they.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn add_dropped(&self, x: &Tensor, residual: &Tensor, dropout: Dropout) -> Result<Tensor> {
        if self.fused { self.map(Add(dropout), &[x, residual]) } else { self.add(&self.dropout(x, dropout)?, residual) }
    }

    /// A function of each element.
    ///
    /// # Shapes
    /// Any; result as x.
    ///
    /// # Errors
    /// If the device fails.
    pub(in crate::nn) fn activation(&self, x: &Tensor, of: Activation) -> Result<Tensor> {
        if self.fused { self.apply(of, &[x]) } else { stock::activation(x, of) }
    }

    /// `f(gate) up`, element by element (Shazeer 2020).
    ///
    /// # Shapes
    /// Two of one shape; result as they.
    ///
    /// # Errors
    /// If the shapes differ.
    pub(in crate::nn) fn gate(&self, gate: &Tensor, up: &Tensor, of: Activation) -> Result<Tensor> {
        if self.fused { self.apply(Gate(of), &[gate, up]) } else { stock::gate(gate, up, of) }
    }

    /// Some columns as a tensor of their own.
    ///
    /// # Shapes
    /// x `(.., d)`; result `(.., columns)`.
    ///
    /// # Errors
    /// If there are no such columns.
    pub fn columns(&self, x: &Tensor, columns: Range<usize>) -> Result<Tensor> {
        if self.fused { self.map(Columns(columns), &[x]) } else { stock::columns(x, columns) }
    }

    /// The mean over the rows of `-log softmax(x W^T + b)[label]`, without a matrix of all logits. The gradients are computed with
    /// it, so that a backward pass has less to do than usual, and the forward pass more.
    ///
    /// # Shapes
    /// x `(n, d)`, w `(classes, d)`, b `(classes)`, labels `(n)` of u32; result a scalar.
    ///
    /// # Errors
    /// If the shapes do not fit or a label is out of range.
    pub fn head_loss(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>, labels: &Tensor) -> Result<Tensor> {
        if !self.fused {
            return stock::head_loss(x, w, b, labels);
        }
        let wanted = Wanted { x: self.wants(x), weight: self.wants(w), bias: b.is_some_and(|b| self.wants(b)) };
        let operation = HeadLoss::new((x, w), labels, self.with_copies(w, b), wanted)?;
        match b {
            Some(b) => self.apply(operation, &[x, w, b]),
            None => self.apply(operation, &[x, w]),
        }
    }
}
