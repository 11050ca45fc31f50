//! AdamW of all weights in one launch.

use candle_core::{DType, Result, bail};

use super::launch::{Argument, Rates, address, device};
use super::many::{ELEMENTS, launch_over};
use crate::nn::ops::{AdamWRates, Moments, Update};

/// Updates weights of f32 whose moments lie beside them.
#[expect(clippy::cast_possible_truncation, reason = "the constants of f32 arithmetic")]
pub(in crate::nn::ops) fn adamw(updates: &[Update<'_>], rates: AdamWRates) -> Result<()> {
    let Some(first) = updates.first() else { return Ok(()) };
    let mut weights = Vec::with_capacity(updates.len());
    for Update { var, gradient, moments } in updates {
        let Moments::OnCuda(m, v) = moments else { bail!("moments of a weight that is not on the GPU") };
        let n = var.elem_count();
        if gradient.elem_count() != n || gradient.dtype() != DType::F32 || !gradient.is_contiguous() {
            bail!("a gradient of shape {:?} of {:?} for a weight of {n} numbers", gradient.dims(), gradient.dtype());
        }
        // `Weight` of the kernel.
        weights.push(([address(var)?, address(gradient)?, address(m)?, address(v)?, n as u64], n));
    }
    let AdamWRates { lr, beta1, beta2, eps, weight_decay, .. } = rates;
    let (scale_m, scale_v) = rates.corrections();
    let rates = Rates {
        beta1: beta1 as f32,
        beta2: beta2 as f32,
        eps: eps as f32,
        keep: (1.0 - lr * weight_decay) as f32,
        step: (lr * scale_m) as f32,
        scale_v: scale_v as f32,
    };
    launch_over(device(first.var)?, "adamw_f32", &weights, ELEMENTS, &[Argument::Rates(rates)])
}
