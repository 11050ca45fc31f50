//! Cross-entropy with integer labels; the gradient recomputes the softmax from the logits.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, dispatch, max, slices, sum};
use super::{Gradients, LongRows, Operation};

/// The mean over the rows of `[logits]`, one label a row.
pub(in crate::nn) struct CrossEntropy {
    pub(super) labels: Tensor,
}

/// The maximum of a row and the sum of the exponentials of its distances from it.
pub(super) fn normaliser<T: Real>(row: &[T]) -> (T, T) {
    dispatch(|| {
        let max = max(row);
        (max, sum(row, |x| (x - max).exponential()))
    })
}

impl CrossEntropy {
    /// Checks that there is a label for each row of logits.
    pub(in crate::nn) fn new(logits: &Tensor, labels: &Tensor) -> Result<Self> {
        let (rows, _) = logits.dims2()?;
        if labels.dims() != [rows] {
            bail!("labels of shape {:?} for {rows} rows of logits", labels.dims());
        }
        Ok(Self { labels: labels.contiguous()? })
    }

    /// The labels, checked against the number of classes.
    fn labels(&self, classes: usize) -> Result<Vec<u32>> {
        let labels: Vec<u32> = self.labels.to_vec1()?;
        match labels.iter().find(|l| **l as usize >= classes) {
            Some(label) => bail!("label {label} of {classes} classes"),
            None => Ok(labels),
        }
    }

    fn forward<T: Real>(logits: &[T], labels: &[u32]) -> T {
        let classes = logits.len() / labels.len();
        let losses = logits.par_chunks(classes).zip(labels).map(|(row, label)| {
            let (max, sum) = normaliser(row);
            sum.ln() + max - row[*label as usize]
        });
        losses.collect::<Vec<T>>().into_iter().sum::<T>() / T::of(labels.len() as f64)
    }

    /// `(softmax - onehot) / rows`.
    fn backward<T: Real>(logits: &[T], labels: &[u32], upstream: T) -> Vec<T> {
        let classes = logits.len() / labels.len();
        let weight = upstream / T::of(labels.len() as f64);
        let mut gradient = vec![T::zero(); logits.len()];
        let rows = gradient.par_chunks_mut(classes).zip(logits.par_chunks(classes)).zip(labels);
        rows.for_each(|((gradient, row), label)| {
            let (max, sum) = normaliser(row);
            let scale = weight / sum;
            dispatch(|| {
                gradient.iter_mut().zip(row).for_each(|(g, x)| *g = (*x - max).exponential() * scale);
            });
            gradient[*label as usize] += -weight;
        });
        gradient
    }
}

impl Operation for CrossEntropy {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let logits = &inputs[0];
        let labels = self.labels(logits.dim(1)?)?;
        by_type!(logits.dtype(), T => {
            let loss = slices::<T, _, _>([logits], |[logits]| Self::forward(logits, &labels))?;
            Tensor::new(loss, logits.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let logits = &inputs[0];
        let labels = self.labels(logits.dim(1)?)?;
        by_type!(logits.dtype(), T => {
            let upstream = dloss.to_scalar::<T>()?;
            let gradient = slices::<T, _, _>([logits], |[logits]| Self::backward(logits, &labels, upstream))?;
            gradients.add(logits, gradient)
        })
    }

    fn long_rows(&self) -> LongRows {
        LongRows::InInput
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
