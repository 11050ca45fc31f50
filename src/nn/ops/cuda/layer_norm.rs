//! Layer norm, alone or after a dropped-out branch and its residual.

use candle_core::{DType, Result, Tensor, bail};

use super::Kernels;
use super::elementwise::cast;
use super::launch::{Argument, Grid, SHARED_BYTES, THREADS, WARP, device, empty, launch, suffix, tensor};
use crate::nn::ops::Gradients;
use crate::nn::ops::layer_norm::{LayerNorm, shapes};

/// Blocks that work through the rows backward: several for each multiprocessor of the largest GPUs.
pub(super) const BLOCKS: usize = 1024;
const NULL: Argument = Argument::Address(0);

impl LayerNorm {
    #[expect(clippy::cast_possible_truncation, reason = "sums are of f32")]
    fn eps_f32(self) -> Argument {
        Argument::Float(self.eps as f32)
    }
}

/// Bytes of `n` numbers of f32 in shared memory.
pub(super) fn shared_bytes(n: usize) -> Result<usize> {
    let bytes = 4 * n;
    if bytes > SHARED_BYTES {
        bail!("a norm that needs {bytes} bytes of shared memory: a GPU has {SHARED_BYTES}");
    }
    Ok(bytes)
}

impl Kernels for LayerNorm {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (rows, d) = shapes(inputs)?;
        let (x, gain, bias) = (&inputs[0], cast(&inputs[1], DType::F32)?, cast(&inputs[2], DType::F32)?);
        let y = empty(x.shape(), x.dtype(), x)?;
        let warps = (SHARED_BYTES / (4 * d)).clamp(1, THREADS / WARP);
        let grid = Grid {
            blocks: (rows.div_ceil(warps), 1),
            threads: (warps * WARP, 1),
            shared_bytes: shared_bytes(warps * d)?,
        };
        let residual = inputs.get(3).map_or(Ok(NULL), tensor)?;
        let arguments = [
            tensor(x)?,
            residual,
            tensor(&gain)?,
            tensor(&bias)?,
            tensor(&y)?,
            rows.into(),
            d.into(),
            self.eps_f32(),
            self.dropout.into(),
        ];
        launch(device(x)?, &format!("layer_norm_{}", suffix(x.dtype())?), grid, &arguments)?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, gain, bias) = (&inputs[0], &inputs[1], &inputs[2]);
        let residual = inputs.get(3);
        let (rows, d) = shapes(inputs)?;
        let gain_f32 = cast(gain, DType::F32)?;
        // Each warp has sums of its own: few enough for several blocks to share a multiprocessor.
        let warps = (SHARED_BYTES / (3 * 4 * d)).clamp(1, 4);
        let blocks = rows.div_ceil(warps).clamp(1, BLOCKS);
        let grid = Grid { blocks: (blocks, 1), threads: (warps * WARP, 1), shared_bytes: shared_bytes(3 * d * warps)? };
        let dx = empty(x.shape(), x.dtype(), x)?;
        let dresidual = residual.map(|r| empty(r.shape(), r.dtype(), r)).transpose()?;
        let partial = empty((blocks, 2 * d), DType::F32, x)?;
        let arguments = [
            tensor(x)?,
            residual.map_or(Ok(NULL), tensor)?,
            tensor(&gain_f32)?,
            tensor(dy)?,
            tensor(&dx)?,
            dresidual.as_ref().map_or(Ok(NULL), tensor)?,
            tensor(&partial)?,
            rows.into(),
            d.into(),
            self.eps_f32(),
            self.dropout.into(),
        ];
        launch(device(x)?, &format!("layer_norm_backward_{}", suffix(x.dtype())?), grid, &arguments)?;
        for (weight, first) in [(gain, 0), (bias, d)] {
            if gradients.wants(weight) {
                gradients.add_row_sums(weight, &partial, first)?;
            }
        }
        gradients.add_tensor(x, dx)?;
        match (residual, dresidual) {
            (Some(residual), Some(dresidual)) => gradients.add_tensor(residual, dresidual),
            _ => Ok(()),
        }
    }
}
