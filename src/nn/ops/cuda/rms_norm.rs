//! Root mean square norm.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::cast;
use super::launch::{Argument, Grid, SHARED_BYTES, WARP, device, empty, launch, suffix, tensor};
use super::layer_norm::{BLOCKS, shared_bytes};
use crate::nn::ops::Gradients;
use crate::nn::ops::rms_norm::{RmsNorm, shapes};

impl RmsNorm {
    /// What both kernels end with.
    #[expect(clippy::cast_possible_truncation, reason = "sums are of f32")]
    fn sizes(self, rows: usize, d: usize) -> [Argument; 3] {
        [rows.into(), d.into(), Argument::Float(self.eps as f32)]
    }
}

impl Kernels for RmsNorm {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (rows, d) = shapes(inputs)?;
        let (x, gain) = (&inputs[0], cast(&inputs[1], DType::F32)?);
        let y = empty(x.shape(), x.dtype(), x)?;
        let arguments = [&[tensor(x)?, tensor(&gain)?, tensor(&y)?][..], &self.sizes(rows, d)].concat();
        launch(device(x)?, &format!("rms_norm_{}", suffix(x.dtype())?), Grid::of_warps(rows), &arguments)?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (rows, d) = shapes(inputs)?;
        let (x, gain) = (&inputs[0], &inputs[1]);
        let gain_f32 = cast(gain, DType::F32)?;
        // Each warp has sums of its own.
        let warps = (SHARED_BYTES / (4 * d)).clamp(1, 4);
        let blocks = rows.div_ceil(warps).clamp(1, BLOCKS);
        let grid = Grid { blocks: (blocks, 1), threads: (warps * WARP, 1), shared_bytes: shared_bytes(d * warps)? };
        let dx = empty(x.shape(), x.dtype(), x)?;
        let partial = empty((blocks, d), DType::F32, x)?;
        let tensors = [tensor(x)?, tensor(&gain_f32)?, tensor(dy)?, tensor(&dx)?, tensor(&partial)?];
        let arguments = [&tensors[..], &self.sizes(rows, d)].concat();
        launch(device(x)?, &format!("rms_norm_backward_{}", suffix(x.dtype())?), grid, &arguments)?;
        if gradients.wants(gain) {
            gradients.add_row_sums(gain, &partial, 0)?;
        }
        gradients.add_tensor(x, dx)
    }
}
