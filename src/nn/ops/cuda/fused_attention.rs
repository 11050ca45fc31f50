//! Attention in one kernel a direction: no score is ever written to memory. For bf16, f16 and TF32 and heads of width 64 on
//! GPUs whose matrix units take 16 rows (compute capability 8.0); everything else is computed in tiles by cuBLAS.

use std::sync::{MutexGuard, PoisonError};

use candle_core::cuda_backend::gemm_reduced_precision_f32;
use candle_core::{DType, Result, Tensor};

use super::launch::{Argument, Grid, THREADS, WARP, device, empty, has_kernel, launch, tensor};
use crate::nn::ops::{Attention, Gradients};

/// Width of the heads that the kernels are made for.
const D_HEAD: usize = 64;
/// Queries and threads of a block, forward; its keys and threads, backward.
const QUERIES: (usize, usize) = (128, 4 * WARP);
const KEYS: (usize, usize) = (128, 8 * WARP);
/// Rows that a warp of `attention_queries` has.
const ROWS: usize = 16;
/// Threads that share a row of `attention_delta`.
const LANES: usize = 8;

/// The numbers that the kernels of this file multiply.
#[derive(Clone, Copy)]
pub(super) enum Factors {
    Bf16,
    F16,
    Tf32,
}

impl Factors {
    /// The name of a kernel for them.
    fn kernel(self, name: &str) -> String {
        let suffix = match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Tf32 => "tf32",
        };
        format!("{name}_{suffix}")
    }

    /// `sizeof(BackwardTiles)` of the kernels: keys, two pairs of tiles, the gradients of scores, and two numbers a row of
    /// both pairs. Rows are 16 bytes further apart than they are long.
    fn backward_bytes(self) -> usize {
        let (bytes, tile) = match self {
            Self::Bf16 | Self::F16 => (2, 64),
            Self::Tf32 => (4, 32),
        };
        let row = D_HEAD * bytes + 16;
        KEYS.0 * row + 4 * tile * row + KEYS.0 * (tile * bytes + 16) + 4 * tile * size_of::<f32>()
    }
}

/// What the forward pass leaves for the gradients.
pub(in crate::nn::ops) struct Saved {
    y: Tensor,
    /// Logarithm to base 2 of the sum of the exponentials of each row's scores, `(B, heads, rows)` of f32.
    lse: Tensor,
}

impl Attention {
    /// What the kernels of this file multiply, if they compute it.
    pub(super) fn fused(&self, dtype: DType) -> Option<Factors> {
        let factors = match dtype {
            DType::BF16 => Factors::Bf16,
            DType::F16 => Factors::F16,
            DType::F32 if gemm_reduced_precision_f32() => Factors::Tf32,
            _ => return None,
        };
        (self.d_head() == D_HEAD && self.keys > 0 && has_kernel(&factors.kernel("attention"))).then_some(factors)
    }

    fn saved(&self) -> MutexGuard<'_, Option<Saved>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block for each part of `rows` of each head, those of a head one after the other.
    fn blocks(&self, rows: usize, (of_block, threads): (usize, usize), shared_bytes: usize) -> Grid {
        let blocks = self.b * self.heads.n_heads * rows.div_ceil(of_block);
        Grid { blocks: (blocks, 1), threads: (threads, 1), shared_bytes }
    }

    /// What every kernel ends with.
    fn sizes(&self) -> [Argument; 5] {
        #[expect(clippy::cast_possible_truncation, reason = "a scale")]
        let scale = Argument::Float(self.scale() as f32);
        [self.heads.n_heads.into(), self.t.into(), self.keys.into(), scale, self.heads.dropout.into()]
    }

    pub(super) fn fused_forward(&self, factors: Factors, inputs: &[Tensor], mask: Argument) -> Result<Tensor> {
        let (q, dtype) = (&inputs[0], inputs[0].dtype());
        let y = empty(q.shape(), dtype, q)?;
        let lse = empty((self.b, self.heads.n_heads, self.t), DType::F32, q)?;
        let tensors = [tensor(q)?, tensor(&inputs[1])?, tensor(&inputs[2])?, mask, tensor(&y)?, tensor(&lse)?];
        let grid = self.blocks(self.t, QUERIES, 0);
        launch(device(q)?, &factors.kernel("attention"), grid, &[&tensors[..], &self.sizes()].concat())?;
        // The last forward pass is the one whose gradients are asked for.
        *self.saved() = Some(Saved { y: y.clone(), lse });
        Ok(y)
    }

    pub(super) fn fused_backward(
        &self,
        factors: Factors,
        inputs: &[Tensor],
        dy: &Tensor,
        gradients: &mut Gradients,
        mask: Argument,
    ) -> Result<()> {
        let Some(Saved { y, lse }) = self.saved().take() else {
            candle_core::bail!("the gradients of attention were asked for before its result");
        };
        let ([q, k, v], dtype) = ([&inputs[0], &inputs[1], &inputs[2]], inputs[0].dtype());
        let gpu = device(q)?;
        let delta = empty(lse.shape(), DType::F32, q)?;
        let n = self.b * self.heads.n_heads * self.t;
        let sizes = [n.into(), self.heads.n_heads.into(), self.t.into(), self.heads.dropout.into()];
        let of_delta = [&[tensor(&y)?, tensor(dy)?, tensor(&delta)?][..], &sizes].concat();
        launch(gpu, &factors.kernel("attention_delta"), Grid::of_blocks(n.div_ceil(THREADS / LANES)), &of_delta)?;
        drop(y);

        let (dk, dv) = (empty(k.shape(), dtype, q)?, empty(v.shape(), dtype, q)?);
        let given = [tensor(q)?, tensor(k)?, tensor(v)?, tensor(dy)?, mask, tensor(&lse)?, tensor(&delta)?];
        let dq = empty(q.shape(), dtype, q)?;
        // The blocks of a head add to the gradient of its queries, in whatever order they run. One block has it alone.
        let sixteens = self.b * self.heads.n_heads * self.t.div_ceil(ROWS);
        let sums = (self.keys > KEYS.0).then(|| Tensor::zeros((sixteens, ROWS, D_HEAD), DType::F32, q.device()));
        let sums = sums.transpose()?;
        let of_sums = sums.as_ref().map_or(Ok(Argument::Address(0)), tensor)?;
        let gradients_of = [tensor(&dq)?, of_sums, tensor(&dk)?, tensor(&dv)?];
        let grid = self.blocks(self.keys, KEYS, factors.backward_bytes());
        let arguments = [&given[..], &gradients_of, &self.sizes()].concat();
        launch(gpu, &factors.kernel("attention_backward"), grid, &arguments)?;
        if sums.is_some() {
            let sizes = [sixteens.into(), self.heads.n_heads.into(), self.t.into()];
            let arguments = [&[of_sums, tensor(&dq)?][..], &sizes].concat();
            launch(gpu, &factors.kernel("attention_queries"), Grid::of_warps(sixteens), &arguments)?;
        }
        gradients.add_tensor(q, dq)?;
        gradients.add_tensor(k, dk)?;
        gradients.add_tensor(v, dv)
    }
}
