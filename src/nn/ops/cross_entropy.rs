//! Cross-entropy with integer labels; the gradient recomputes the softmax from the logits.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::real::{Real, by_type, part, with_slice};

/// Shapes as in [`super::Ops::cross_entropy`].
pub(super) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    let labels: Vec<u32> = labels.to_vec1()?;
    if labels.len() != rows {
        bail!("{} labels for {rows} rows of logits", labels.len());
    }
    if let Some(label) = labels.iter().find(|l| **l as usize >= classes) {
        bail!("label {label} of {classes} classes");
    }
    logits.contiguous()?.apply_op1(CrossEntropy { labels })
}

struct CrossEntropy {
    labels: Vec<u32>,
}

/// The maximum of a row and the sum of the exponentials of its distances from it.
fn normaliser<T: Real>(row: &[T]) -> (T, T) {
    let max = row.iter().copied().fold(T::neg_infinity(), |a, b| if a > b { a } else { b });
    let mut sum = T::zero();
    pulp::Arch::new().dispatch(|| row.iter().for_each(|x| sum += (*x - max).exponential()));
    (max, sum)
}

impl CrossEntropy {
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
            pulp::Arch::new().dispatch(|| {
                gradient.iter_mut().zip(row).for_each(|(g, x)| *g = (*x - max).exponential() * scale);
            });
            gradient[*label as usize] += -weight;
        });
        gradient
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(storage);
        let loss = by_type!(dtype, T => <T as candle_core::WithDType>::to_cpu_storage_owned(vec![self.forward(part::<T>(storage, layout)?)]));
        Ok((loss, Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let gradient = by_type!(logits.dtype(), T => with_slice::<T, _>(logits, |values| {
            let upstream = dloss.to_scalar::<T>()?;
            Tensor::from_vec(self.backward(values, upstream), logits.shape(), logits.device())
        }))?;
        Ok(Some(gradient))
    }
}
