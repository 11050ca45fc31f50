//! AdamW (Loshchilov and Hutter 2019, algorithm 2) in one pass over weight, gradient and moments.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

/// Elements that one task handles.
const CHUNK: usize = 1 << 14;

/// The constants of one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWRates {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The number of this update, from 1.
    pub step: i32,
}

impl AdamWRates {
    /// What makes up for moments that began at zero.
    pub(super) fn corrections(self) -> (f64, f64) {
        (1.0 / (1.0 - self.beta1.powi(self.step)), 1.0 / (1.0 - self.beta2.powi(self.step)))
    }
}

/// The two moments of a weight.
pub enum Moments {
    /// On the CPU, for the fused update of f32.
    Fused(Vec<f32>, Vec<f32>),
    /// Beside the weight.
    Stock(Tensor, Tensor),
    /// On a GPU, for the fused update of f32.
    #[cfg(feature = "cuda")]
    OnCuda(Tensor, Tensor),
}

/// A weight with what its update needs.
pub struct Update<'a> {
    /// The weight.
    pub var: &'a Var,
    /// Its gradient.
    pub gradient: &'a Tensor,
    /// Its moments.
    pub moments: &'a mut Moments,
}

impl Moments {
    /// Moments of zero.
    ///
    /// # Errors
    /// If the device has no room.
    pub fn zeros(var: &Var, fused: bool) -> Result<Self> {
        if fused && var.device().is_cpu() && var.dtype() == DType::F32 {
            let n = var.elem_count();
            return Ok(Self::Fused(vec![0.0; n], vec![0.0; n]));
        }
        #[cfg(feature = "cuda")]
        if fused && var.device().is_cuda() && var.dtype() == DType::F32 {
            return Ok(Self::OnCuda(var.zeros_like()?, var.zeros_like()?));
        }
        Ok(Self::Stock(var.zeros_like()?, var.zeros_like()?))
    }

    /// Both as tensors of the weight's shape.
    ///
    /// # Errors
    /// If the device has no room.
    pub fn tensors(&self, var: &Var) -> Result<[Tensor; 2]> {
        Ok(match self {
            Self::Fused(m, v) => {
                let tensor = |moment: &[f32]| Tensor::from_slice(moment, var.shape(), var.device());
                [tensor(m)?, tensor(v)?]
            }
            Self::Stock(m, v) => [m.clone(), v.clone()],
            #[cfg(feature = "cuda")]
            Self::OnCuda(m, v) => [m.clone(), v.clone()],
        })
    }

    /// Goes on from these.
    ///
    /// # Errors
    /// If their shape is not that of the weight.
    pub fn set(&mut self, var: &Var, [first, second]: &[Tensor; 2]) -> Result<()> {
        if first.shape() != var.shape() || second.shape() != var.shape() {
            bail!("moments of shape {:?} for a weight of shape {:?}", first.shape(), var.shape());
        }
        match self {
            Self::Fused(m, v) => {
                *m = first.flatten_all()?.to_vec1()?;
                *v = second.flatten_all()?.to_vec1()?;
            }
            Self::Stock(m, v) => (*m, *v) = (first.clone(), second.clone()),
            #[cfg(feature = "cuda")]
            Self::OnCuda(m, v) => (*m, *v) = (first.copy()?, second.copy()?),
        }
        Ok(())
    }
}

/// Updates weights by their gradients.
///
/// # Errors
/// If the shapes differ or the device fails.
pub fn adamw(updates: &mut [Update<'_>], rates: AdamWRates) -> Result<()> {
    #[cfg(feature = "cuda")]
    if updates.iter().any(|u| matches!(u.moments, Moments::OnCuda(..))) {
        return super::cuda::adamw(updates, rates);
    }
    updates.iter_mut().try_for_each(|Update { var, gradient, moments }| update(var, gradient, moments, rates))
}

fn update(var: &Var, gradient: &Tensor, moments: &mut Moments, rates: AdamWRates) -> Result<()> {
    match moments {
        Moments::Fused(m, v) => {
            let op = Fused { rates, moments: Mutex::new((m, v)) };
            var.as_tensor().inplace_op2(&gradient.contiguous()?, &op)
        }
        Moments::Stock(m, v) => {
            let AdamWRates { lr, beta1, beta2, eps, weight_decay, .. } = rates;
            let (scale_m, scale_v) = rates.corrections();
            *m = ((m.detach() * beta1)? + (gradient * (1.0 - beta1))?)?;
            *v = ((v.detach() * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let update = ((&*m * scale_m)? / ((&*v * scale_v)?.sqrt()? + eps)?)?;
            let decayed = (var.as_tensor().detach() * (1.0 - lr * weight_decay))?;
            var.set(&(decayed - (update * lr)?)?)
        }
        #[cfg(feature = "cuda")]
        Moments::OnCuda(..) => bail!("moments of a GPU are updated together"),
    }
}

struct Fused<'a> {
    rates: AdamWRates,
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

impl InplaceOp2 for Fused<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    #[expect(clippy::cast_possible_truncation, reason = "the constants of f32 arithmetic")]
    fn cpu_fwd(&self, weight: &mut CpuStorage, lw: &Layout, gradient: &CpuStorage, lg: &Layout) -> Result<()> {
        let (CpuStorage::F32(weight), CpuStorage::F32(values)) = (weight, gradient) else {
            bail!("the fused update is of f32");
        };
        let (Some((w0, w1)), Some((g0, g1))) = (lw.contiguous_offsets(), lg.contiguous_offsets()) else {
            bail!("the fused update needs contiguous tensors");
        };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (m, v) = &mut *moments;
        if w1 - w0 != g1 - g0 || m.len() != w1 - w0 {
            bail!("a gradient of {} for a weight of {}", g1 - g0, w1 - w0);
        }
        let AdamWRates { lr, beta1, beta2, eps, weight_decay, .. } = self.rates;
        let (scale_m, scale_v) = self.rates.corrections();
        let (beta1, beta2, eps) = (beta1 as f32, beta2 as f32, eps as f32);
        let (keep, step, scale_v) = ((1.0 - lr * weight_decay) as f32, (lr * scale_m) as f32, scale_v as f32);
        weight[w0..w1]
            .par_chunks_mut(CHUNK)
            .zip(values[g0..g1].par_chunks(CHUNK))
            .zip(m.par_chunks_mut(CHUNK))
            .zip(v.par_chunks_mut(CHUNK))
            .for_each(|(((w, g), m), v)| {
                pulp::Arch::new().dispatch(|| {
                    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        *w = *w * keep - step * *m / ((*v * scale_v).sqrt() + eps);
                    }
                });
            });
        Ok(())
    }
}
