//! Attention over all heads in tiles: batched products, between them one kernel a direction for mask, softmax and
//! dropout. Only the scores of a tile exist at a time, and the backward pass computes them again.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::swap_axes;
use super::launch::{Argument, Grid, device, empty, launch, suffix, tensor};
use super::product::{Matrix, product};
use crate::nn::ops::{Attention, Gradients};

/// Bytes that the scores, weights and their gradients of a tile may take.
const TILE_BYTES: usize = 256 << 20;

/// Query rows of consecutive heads: all rows of several heads, or some of one.
#[derive(Clone, Copy)]
struct Tile {
    first_head: usize,
    heads: usize,
    first_row: usize,
    rows: usize,
}

impl Attention {
    /// Tiles of at most `TILE_BYTES`, of which each score takes `bytes`.
    fn tiles(&self, bytes: usize) -> Vec<Tile> {
        let (heads, t) = (self.b * self.heads.n_heads, self.t);
        let rows = (TILE_BYTES / (bytes * self.keys.max(1))).max(1);
        if rows >= t {
            let group = rows / t.max(1);
            let first = (0..heads).step_by(group);
            return first.map(|f| Tile { first_head: f, heads: group.min(heads - f), first_row: 0, rows: t }).collect();
        }
        (0..heads)
            .flat_map(|head| {
                let first = (0..t).step_by(rows);
                first.map(move |f| Tile { first_head: head, heads: 1, first_row: f, rows: rows.min(t - f) })
            })
            .collect()
    }

    /// `(B, rows, D)` as `(B, heads, rows, D/H)`.
    fn split(&self, x: &Tensor, rows: usize) -> Result<Tensor> {
        swap_axes(x, rows, self.heads.n_heads, self.d_head())
    }

    /// `(B, heads, rows, D/H)` as `(B, rows, D)`.
    fn merge(&self, x: &Tensor, rows: usize) -> Result<Tensor> {
        swap_axes(x, self.heads.n_heads, rows, self.d_head())?.reshape((self.b, rows, self.d))
    }

    /// Scaled scores of a tile, `(heads, rows, keys)` of f32.
    fn scores(&self, on: &Tensor, tile: Tile, q: Matrix, k: Matrix) -> Result<Tensor> {
        let scores = empty((tile.heads, tile.rows, self.keys), DType::F32, on)?;
        let out = Matrix::new(&scores, tile.rows, self.keys)?;
        product(on, out, [tile.queries(q), tile.keys(k).t()], tile.heads, self.scale(), false)?;
        Ok(scores)
    }

    /// What both kernels end with: sizes, and which of all rows these are.
    fn rest(&self, tile: Tile) -> [Argument; 5] {
        [
            (tile.heads * tile.rows).into(),
            self.keys.into(),
            (tile.first_head * self.t + tile.first_row).into(),
            (self.heads.n_heads * self.t).into(),
            self.heads.dropout.into(),
        ]
    }

    fn mask_f32(&self) -> Result<Option<Tensor>> {
        self.mask.as_ref().map(|m| m.to_dtype(DType::F32)?.contiguous()).transpose()
    }
}

impl Tile {
    /// Its rows of a batch of `(t, D/H)`.
    fn queries(self, m: Matrix) -> Matrix {
        m.part(self.first_head, self.first_row, self.rows)
    }

    /// All rows of its heads of a batch of `(keys, D/H)`.
    fn keys(self, m: Matrix) -> Matrix {
        m.from(self.first_head)
    }

    fn grid(self) -> Grid {
        Grid::of_warps(self.heads * self.rows)
    }
}

impl Kernels for Attention {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, dtype) = (&inputs[0], inputs[0].dtype());
        let mask = self.mask_f32()?;
        let mask = mask.as_ref().map_or(Ok(Argument::Address(0)), tensor)?;
        let (q, k, v) =
            (self.split(&inputs[0], self.t)?, self.split(&inputs[1], self.keys)?, self.split(&inputs[2], self.keys)?);
        let y = empty(x.elem_count(), dtype, x)?;
        let (d_head, name) = (self.d_head(), format!("softmax_{}", suffix(dtype)?));
        let [q_m, y_m] = [Matrix::new(&q, self.t, d_head)?, Matrix::new(&y, self.t, d_head)?];
        let [k_m, v_m] = [Matrix::new(&k, self.keys, d_head)?, Matrix::new(&v, self.keys, d_head)?];
        for tile in self.tiles(4 + dtype.size_in_bytes()) {
            let scores = self.scores(x, tile, q_m, k_m)?;
            let weights = empty(scores.shape(), dtype, x)?;
            let arguments = [&[tensor(&scores)?, mask, tensor(&weights)?][..], &self.rest(tile)].concat();
            launch(device(x)?, &name, tile.grid(), &arguments)?;
            let weights = Matrix::new(&weights, tile.rows, self.keys)?;
            product(x, tile.queries(y_m), [weights, tile.keys(v_m)], tile.heads, 1.0, false)?;
        }
        self.merge(&y, self.t)
    }

    /// As on the CPU, with A the weights after dropout: `dV = A^T dO`, `dA = dO V^T`, dS by the kernel,
    /// `dQ = dS K`, `dK = dS^T Q`.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, dtype) = (&inputs[0], inputs[0].dtype());
        let mask = self.mask_f32()?;
        let mask = mask.as_ref().map_or(Ok(Argument::Address(0)), tensor)?;
        let (q, k, v) =
            (self.split(&inputs[0], self.t)?, self.split(&inputs[1], self.keys)?, self.split(&inputs[2], self.keys)?);
        let dout = self.split(dy, self.t)?;
        let (dq, dk, dv) = (empty(q.shape(), dtype, x)?, empty(k.shape(), dtype, x)?, empty(v.shape(), dtype, x)?);
        let (d_head, name) = (self.d_head(), format!("softmax_backward_{}", suffix(dtype)?));
        let of_queries = |x: &Tensor| Matrix::new(x, self.t, d_head);
        let of_keys = |x: &Tensor| Matrix::new(x, self.keys, d_head);
        let (q_m, dq_m, dout_m) = (of_queries(&q)?, of_queries(&dq)?, of_queries(&dout)?);
        let (k_m, v_m, dk_m, dv_m) = (of_keys(&k)?, of_keys(&v)?, of_keys(&dk)?, of_keys(&dv)?);
        for tile in self.tiles(8 + 2 * dtype.size_in_bytes()) {
            let (heads, scale, later) = (tile.heads, self.scale(), tile.first_row > 0);
            let scores = self.scores(x, tile, q_m, k_m)?;
            let da = empty(scores.shape(), DType::F32, x)?;
            let da_m = Matrix::new(&da, tile.rows, self.keys)?;
            product(x, da_m, [tile.queries(dout_m), tile.keys(v_m).t()], heads, 1.0, false)?;
            let (weights, dscores) = (empty(scores.shape(), dtype, x)?, empty(scores.shape(), dtype, x)?);
            let tensors = [tensor(&scores)?, mask, tensor(&da)?, tensor(&weights)?, tensor(&dscores)?];
            launch(device(x)?, &name, tile.grid(), &[&tensors[..], &self.rest(tile)].concat())?;
            let weights = Matrix::new(&weights, tile.rows, self.keys)?;
            let dscores = Matrix::new(&dscores, tile.rows, self.keys)?;
            product(x, tile.keys(dv_m), [weights.t(), tile.queries(dout_m)], heads, 1.0, later)?;
            product(x, tile.queries(dq_m), [dscores, tile.keys(k_m)], heads, scale, false)?;
            product(x, tile.keys(dk_m), [dscores.t(), tile.queries(q_m)], heads, scale, later)?;
        }
        gradients.add_tensor(&inputs[0], self.merge(&dq, self.t)?)?;
        gradients.add_tensor(&inputs[1], self.merge(&dk, self.keys)?)?;
        gradients.add_tensor(&inputs[2], self.merge(&dv, self.keys)?)
    }
}
