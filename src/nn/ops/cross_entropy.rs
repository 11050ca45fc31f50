//! Cross-entropy with integer labels; the gradient recomputes the softmax from the logits.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::real::{Real, by_type, dispatch, max, slices, sum};
use super::{Gradients, Operation};

/// The mean over the rows of `[logits]`, one label a row.
pub(in crate::nn) struct CrossEntropy {
    labels: Vec<u32>,
}

/// The maximum of a row and the sum of the exponentials of its distances from it.
fn normaliser<T: Real>(row: &[T]) -> (T, T) {
    dispatch(|| {
        let max = max(row);
        (max, sum(row, |x| (x - max).exponential()))
    })
}

impl CrossEntropy {
    /// Checks that the labels fit the logits.
    pub(in crate::nn) fn new(logits: &Tensor, labels: &Tensor) -> Result<Self> {
        let (rows, classes) = logits.dims2()?;
        let labels: Vec<u32> = labels.to_vec1()?;
        if labels.len() != rows {
            bail!("{} labels for {rows} rows of logits", labels.len());
        }
        if let Some(label) = labels.iter().find(|l| **l as usize >= classes) {
            bail!("label {label} of {classes} classes");
        }
        Ok(Self { labels })
    }

    fn forward<T: Real>(&self, logits: &[T]) -> T {
        let classes = logits.len() / self.labels.len();
        let losses = logits.par_chunks(classes).zip(&self.labels).map(|(row, label)| {
            let (max, sum) = normaliser(row);
            sum.ln() + max - row[*label as usize]
        });
        losses.collect::<Vec<T>>().into_iter().sum::<T>() / T::of(self.labels.len() as f64)
    }

    /// `(softmax - onehot) / rows`.
    fn backward<T: Real>(&self, logits: &[T], upstream: T) -> Vec<T> {
        let classes = logits.len() / self.labels.len();
        let weight = upstream / T::of(self.labels.len() as f64);
        let mut gradient = vec![T::zero(); logits.len()];
        let rows = gradient.par_chunks_mut(classes).zip(logits.par_chunks(classes)).zip(&self.labels);
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
        by_type!(logits.dtype(), T => {
            let loss = slices::<T, _, _>([logits], |[logits]| Self::forward(self, logits))?;
            Tensor::new(loss, logits.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], _loss: &Tensor, dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let logits = &inputs[0];
        by_type!(logits.dtype(), T => {
            let upstream = dloss.to_scalar::<T>()?;
            let gradient = slices::<T, _, _>([logits], |[logits]| Self::backward(self, logits, upstream))?;
            gradients.add(logits, gradient)
        })
    }
}
