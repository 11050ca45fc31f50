//! AdamW of all weights in one launch.

use candle_core::cuda_backend::cudarc::driver::DevicePtr;
use candle_core::{DType, Result, bail};

use super::launch::{Argument, Grid, Rates, address, device, launch};
use crate::nn::ops::{AdamWRates, Moments, Update};

/// Elements that a block updates.
const CHUNK: usize = 1 << 16;

/// Updates weights of f32 whose moments lie beside them.
#[expect(clippy::cast_possible_truncation, reason = "the constants of f32 arithmetic")]
pub(in crate::nn::ops) fn adamw(updates: &[Update<'_>], rates: AdamWRates) -> Result<()> {
    let Some(first) = updates.first() else { return Ok(()) };
    // `Weight` and `Place` of the kernel: five words a weight, and a word a block.
    let (mut weights, mut places) = (Vec::with_capacity(5 * updates.len()), Vec::new());
    for (weight, Update { var, gradient, moments }) in updates.iter().enumerate() {
        let Moments::OnCuda(m, v) = moments else { bail!("moments of a weight that is not on the GPU") };
        let n = var.elem_count();
        if gradient.elem_count() != n || gradient.dtype() != DType::F32 || !gradient.is_contiguous() {
            bail!("a gradient of shape {:?} of {:?} for a weight of {n} numbers", gradient.dims(), gradient.dtype());
        }
        weights.extend([address(var)?, address(gradient)?, address(m)?, address(v)?, n as u64]);
        // Little-endian: the weight in the low half, the chunk in the high one.
        places.extend((0..n.div_ceil(CHUNK)).map(|chunk| weight as u64 | (chunk as u64) << 32));
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
    let device = device(first.var)?;
    let blocks = places.len();
    let (weights, places) = (device.clone_htod(&weights)?, device.clone_htod(&places)?);
    let stream = device.cuda_stream();
    let arguments = [
        Argument::Address(weights.device_ptr(&stream).0),
        Argument::Address(places.device_ptr(&stream).0),
        CHUNK.into(),
        Argument::Rates(rates),
    ];
    launch(device, "adamw_f32", Grid::of_blocks(blocks), &arguments)
}
