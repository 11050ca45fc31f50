//! A linear over the vocabulary and the cross-entropy of its logits, in tiles of rows, so that no matrix of all logits is ever
//! stored: at 4096 tokens and a vocabulary of 128 256 it would take 2.1 GB. The gradients are computed in the forward pass, where
//! the logits are, and wait for the backward pass (Hsu et al. 2024, arXiv 2410.10989, section 3.2).

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use super::cross_entropy::normaliser;
use super::gemm::{Matrix, Threads, product};
use super::linear::{Linear, column_sums};
use super::real::{Real, by_type, dispatch, slices};
use super::{Gradients, Operation};
use crate::model::HeadTiles;

/// Whose gradients will be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nn) struct Wanted {
    pub(in crate::nn) x: bool,
    pub(in crate::nn) weight: bool,
    pub(in crate::nn) bias: bool,
}

/// The mean over the rows of `-log softmax(x W^T + b)[label]` of `[x, w]` or `[x, w, b]`.
pub(in crate::nn) struct HeadLoss {
    pub(super) labels: Tensor,
    /// What computes the logits on a GPU.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the CPU's tiles are products of their own"))]
    pub(super) linear: Linear,
    pub(super) wanted: Wanted,
    /// The gradients for x, w and b, for a gradient of 1.
    saved: Mutex<[Option<Tensor>; 3]>,
}

/// What a pass over all tiles gives.
struct Passed<T> {
    loss: T,
    gradients: [Option<Vec<T>>; 3],
}

impl HeadLoss {
    /// Checks that there is a label for each row, and on a CPU that it is one of the classes: a GPU would have to be waited for.
    pub(in crate::nn) fn new(
        (x, w): (&Tensor, &Tensor),
        labels: &Tensor,
        linear: Linear,
        wanted: Wanted,
    ) -> Result<Self> {
        let ((rows, d), (classes, width)) = (x.dims2()?, w.dims2()?);
        if d != width || labels.dims() != [rows] || rows == 0 {
            bail!("labels of shape {:?} and a weight of {:?} for {:?}", labels.dims(), w.dims(), x.dims());
        }
        if labels.device().is_cpu()
            && let Some(label) = labels.to_vec1::<u32>()?.iter().find(|l| **l as usize >= classes)
        {
            bail!("label {label} of {classes} classes");
        }
        Ok(Self { labels: labels.contiguous()?, linear, wanted, saved: Mutex::default() })
    }

    /// Keeps the gradients for x, w and b for the backward pass.
    pub(super) fn keep(&self, gradients: [Option<Tensor>; 3]) {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
    }

    /// Adds the gradients that the forward pass kept, times that for the loss, which `times` multiplies a gradient by.
    pub(super) fn give(
        &self,
        inputs: &[Tensor],
        dloss: &Tensor,
        gradients: &mut Gradients,
        times: impl Fn(&Tensor, f64) -> Result<Tensor>,
    ) -> Result<()> {
        let saved = std::mem::take(&mut *self.saved.lock().unwrap_or_else(PoisonError::into_inner));
        // What the loss itself has is 1, and known to be: a GPU need not be asked.
        let upstream =
            if gradients.is_one(dloss) { None } else { Some(dloss.to_dtype(DType::F64)?.to_scalar::<f64>()?) };
        for (gradient, of) in saved.into_iter().zip(inputs) {
            let Some(gradient) = gradient else { continue };
            let gradient = match upstream {
                Some(upstream) => times(&gradient, upstream)?,
                None => gradient,
            };
            gradients.add_tensor(of, gradient)?;
        }
        Ok(())
    }

    fn pass<T: Real>(&self, x: &[T], w: &[T], bias: Option<&[T]>, labels: &[u32]) -> Passed<T> {
        let rows = labels.len();
        let (d, classes) = (x.len() / rows, w.len() * rows / x.len());
        let weight = T::one() / T::of(rows as f64);
        let tile = HeadTiles::Cpu.rows(rows, classes, size_of::<T>());
        let Wanted { x: of_x, weight: of_w, bias: of_b } = self.wanted;
        let zeros = |is_wanted: bool, n: usize| if is_wanted { vec![T::zero(); n] } else { Vec::new() };
        let (mut dx, mut dw) = (zeros(of_x, x.len()), zeros(of_w, w.len()));
        let mut db = zeros(of_b && bias.is_some(), classes);
        let mut logits = vec![T::zero(); tile * classes];
        let mut loss = T::zero();
        let w = Matrix::new(w, classes, d);
        for (i, (x, labels)) in x.chunks(tile * d).zip(labels.chunks(tile)).enumerate() {
            let logits = &mut logits[..labels.len() * classes];
            if let Some(bias) = bias {
                logits.par_chunks_mut(classes).for_each(|row| row.copy_from_slice(bias));
            }
            let x = Matrix::new(x, labels.len(), d);
            product(logits, x, w.t(), 1.0, bias.is_some(), Threads::All);
            let keeps_gradient = of_x || of_w || of_b;
            let losses = logits.par_chunks_mut(classes).zip(labels).map(|(row, label)| {
                let (max, sum) = normaliser(row);
                let loss = sum.ln() + max - row[*label as usize];
                if keeps_gradient {
                    let scale = weight / sum;
                    dispatch(|| row.iter_mut().for_each(|x| *x = (*x - max).exponential() * scale));
                    row[*label as usize] += -weight;
                }
                loss
            });
            loss += losses.collect::<Vec<T>>().into_iter().sum::<T>();
            let dlogits = Matrix::new(logits, labels.len(), classes);
            if of_x {
                product(&mut dx[i * tile * d..][..labels.len() * d], dlogits, w, 1.0, false, Threads::All);
            }
            if of_w {
                product(&mut dw, dlogits.t(), x, 1.0, i > 0, Threads::All);
            }
            if !db.is_empty() {
                db.iter_mut().zip(column_sums(logits, classes)).for_each(|(sum, x)| *sum += x);
            }
        }
        let kept = |gradient: Vec<T>| (!gradient.is_empty()).then_some(gradient);
        Passed { loss: loss * weight, gradients: [dx, dw, db].map(kept) }
    }
}

impl Operation for HeadLoss {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, w, bias) = (&inputs[0], &inputs[1], inputs.get(2));
        let labels: Vec<u32> = self.labels.to_vec1()?;
        by_type!(x.dtype(), T => {
            // Without a bias, w stands in for it, unused.
            let passed = slices::<T, _, _>([x, w, bias.unwrap_or(w)], |[x, w, b]| {
                self.pass(x, w, bias.map(|_| b), &labels)
            })?;
            let mut kept = [const { None }; 3];
            for ((kept, gradient), of) in kept.iter_mut().zip(passed.gradients).zip(inputs) {
                *kept = gradient.map(|values| Tensor::from_vec(values, of.shape(), of.device())).transpose()?;
            }
            self.keep(kept);
            Tensor::new(passed.loss, x.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], dloss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        self.give(inputs, dloss, gradients, |gradient, upstream| gradient * upstream)
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn super::cuda::Kernels> {
        Some(self)
    }
}
