//! Attention in one kernel a direction: no score is ever written to memory, and none is computed that no query sees. For heads
//! of width 64 in bf16, f16 and TF32, and of 128 in the first two, on GPUs whose matrix units take 16 rows (compute capability
//! 8.0); everything else is computed in tiles by cuBLAS.

use std::sync::{MutexGuard, PoisonError};

use candle_core::cuda_backend::gemm_reduced_precision_f32;
use candle_core::{DType, Result, Tensor};

use super::launch::{Argument, Grid, THREADS, WARP, device, empty, has_kernel, launch, tensor};
use crate::nn::ops::{Attention, Gradients, Heads, Sight};

/// Width of the heads up to which a warp has registers for twice 16 queries.
const NARROW: usize = 64;
/// Threads of a block, forward; its keys and threads, backward.
const QUERY_THREADS: usize = 4 * WARP;
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
    /// The name of a kernel for them and heads of a width.
    fn kernel(self, name: &str, d_head: usize) -> String {
        let suffix = match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Tf32 => "tf32",
        };
        format!("{name}_{d_head}_{suffix}")
    }

    /// Bytes of a number, and rows of a tile.
    fn sizes(self) -> (usize, usize) {
        match self {
            Self::Bf16 | Self::F16 => (2, 64),
            Self::Tf32 => (4, 32),
        }
    }

    /// Two pairs of tiles of keys and values. Rows are 16 bytes further apart than they are long.
    fn forward_bytes(self, d_head: usize) -> usize {
        let (bytes, tile) = self.sizes();
        4 * tile * (d_head * bytes + 16)
    }

    /// `sizeof(BackwardTiles)` of the kernels: keys, two pairs of tiles, the gradients of scores, and three numbers a row of
    /// both pairs.
    fn backward_bytes(self, d_head: usize) -> usize {
        let (bytes, tile) = self.sizes();
        let tile = if d_head > NARROW { 32 } else { tile };
        let row = d_head * bytes + 16;
        KEYS.0 * row + 4 * tile * row + KEYS.0 * (tile * bytes + 16) + 6 * tile * size_of::<f32>()
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
        // Windows to both sides, and documents of which each query sees all, are known to the kernels of tiles alone.
        let has_documents = self.starts.is_some() && self.heads.sight == Sight::All;
        let is_near = matches!(self.heads.sight, Sight::Near { .. });
        (self.keys > 0 && !has_documents && !is_near && has_kernel(&factors.kernel("attention", self.d_head())))
            .then_some(factors)
    }

    fn saved(&self) -> MutexGuard<'_, Option<Saved>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block for each part of `rows` of each of so many heads of a sequence, those of a head one after the other.
    fn blocks(&self, (n_heads, rows): (usize, usize), of_block: usize, threads: usize, shared_bytes: usize) -> Grid {
        let blocks = self.b * n_heads * rows.div_ceil(of_block);
        Grid { blocks: (blocks, 1), threads: (threads, 1), shared_bytes }
    }

    /// What both large kernels end with.
    fn sizes(&self) -> [Argument; 6] {
        let Heads { n_heads, n_kv_heads, dropout, .. } = self.heads;
        #[expect(clippy::cast_possible_truncation, reason = "a scale")]
        let scale = Argument::Float(self.scale() as f32);
        [n_heads.into(), n_kv_heads.into(), self.t.into(), self.keys.into(), scale, dropout.into()]
    }

    pub(super) fn fused_forward(&self, factors: Factors, inputs: &[Tensor], mask: Argument) -> Result<Tensor> {
        let ([q, k], d_head) = (self.turned_on_gpu(inputs)?, self.d_head());
        let y = empty(q.shape(), q.dtype(), &q)?;
        let lse = empty((self.b, self.heads.n_heads, self.t), DType::F32, &q)?;
        let tensors = [tensor(&q)?, tensor(&k)?, tensor(&inputs[2])?, mask, self.seen()?, tensor(&y)?, tensor(&lse)?];
        let queries = QUERY_THREADS / WARP * ROWS * if d_head > NARROW { 1 } else { 2 };
        let shared_bytes = factors.forward_bytes(d_head);
        let grid = self.blocks((self.heads.n_heads, self.t), queries, QUERY_THREADS, shared_bytes);
        launch(device(&q)?, &factors.kernel("attention", d_head), grid, &[&tensors[..], &self.sizes()].concat())?;
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
        let (v, dtype, d_head) = (&inputs[2], inputs[0].dtype(), self.d_head());
        // Turned again: kept, they would take as much memory as the inputs.
        let [q, k] = &self.turned_on_gpu(inputs)?;
        let gpu = device(q)?;
        let delta = empty(lse.shape(), DType::F32, q)?;
        let n = self.b * self.heads.n_heads * self.t;
        let sizes = [n.into(), self.heads.n_heads.into(), self.t.into(), self.heads.dropout.into()];
        let of_delta = [&[tensor(&y)?, tensor(dy)?, tensor(&delta)?][..], &sizes].concat();
        let grid = Grid::of_blocks(n.div_ceil(THREADS / LANES));
        launch(gpu, &factors.kernel("attention_delta", d_head), grid, &of_delta)?;
        drop(y);

        let (dk, dv) = (empty(k.shape(), dtype, q)?, empty(v.shape(), dtype, q)?);
        let given =
            [tensor(q)?, tensor(k)?, tensor(v)?, tensor(dy)?, mask, self.seen()?, tensor(&lse)?, tensor(&delta)?];
        let dq = empty(q.shape(), dtype, q)?;
        // The blocks of a head add to the gradient of its queries, in whatever order they run. One block has it alone.
        let sixteens = self.b * self.heads.n_heads * self.t.div_ceil(ROWS);
        let sums = (self.keys > KEYS.0).then(|| Tensor::zeros((sixteens, ROWS, d_head), DType::F32, q.device()));
        let sums = sums.transpose()?;
        let of_sums = sums.as_ref().map_or(Ok(Argument::Address(0)), tensor)?;
        let gradients_of = [tensor(&dq)?, of_sums, tensor(&dk)?, tensor(&dv)?];
        let of_keys = (self.heads.n_kv_heads, self.keys);
        let grid = self.blocks(of_keys, KEYS.0, KEYS.1, factors.backward_bytes(d_head));
        let arguments = [&given[..], &gradients_of, &self.sizes()].concat();
        launch(gpu, &factors.kernel("attention_backward", d_head), grid, &arguments)?;
        if sums.is_some() {
            let sizes = [sixteens.into(), self.heads.n_heads.into(), self.t.into()];
            let arguments = [&[of_sums, tensor(&dq)?][..], &sizes].concat();
            launch(gpu, &factors.kernel("attention_queries", d_head), Grid::of_warps(sixteens), &arguments)?;
        }
        self.add_gradients(inputs, [dq, dk, dv], gradients)
    }
}
