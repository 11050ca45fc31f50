//! Attention over all heads in tiles: batched products, between them one kernel a direction for mask, softmax and
//! dropout. Only the scores of a tile exist at a time, and the backward pass computes them again.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::{swap_axes, turn};
use super::launch::{Argument, Grid, Seen, address, device, empty, launch, suffix, tensor};
use super::product::{Matrix, product};
use crate::nn::ops::{Angles, Attention, Gradients, Heads, Sight};

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
    /// Whether there are kernels for it. Those that turn heads take eight of their elements at a time, turned ones and others, and
    /// those that know what a query sees take as many queries as keys.
    pub(in crate::nn::ops) fn has_kernels(&self) -> bool {
        let in_eights =
            |angles: &Angles| [angles.d_head(), angles.turned()].iter().all(|width| width.is_multiple_of(8));
        let can_turn = self.angles.as_ref().is_none_or(|angles| in_eights(angles));
        can_turn && (self.t == self.keys || (self.heads.sight == Sight::All && self.starts.is_none()))
    }

    /// What its queries see.
    pub(super) fn seen(&self) -> Result<Argument> {
        const EVERY: u32 = i32::MAX.cast_unsigned();
        let within = |length: usize| u32::try_from(length).map_or(EVERY, |length| length.min(EVERY));
        let (causal, window, after) = match self.heads.sight {
            Sight::All => (0, EVERY, EVERY),
            Sight::Causal { window } => (1, window.map_or(EVERY, within), 0),
            Sight::Near { reach } => (0, within(reach.saturating_add(1)), within(reach)),
        };
        let starts = self.starts.as_ref().map_or(Ok(0), address)?;
        Ok(Argument::Sight(Seen { starts, causal, window, after }))
    }

    /// Queries and keys turned by their positions, or as they are.
    pub(super) fn turned_on_gpu(&self, inputs: &[Tensor]) -> Result<[Tensor; 2]> {
        let [q, k] = [&inputs[0], &inputs[1]];
        match &self.angles {
            Some(angles) => Ok([turn(q, angles, false)?, turn(k, angles, false)?]),
            None => Ok([q.clone(), k.clone()]),
        }
    }

    /// Adds the gradients for what was turned, and for values.
    pub(super) fn add_gradients(
        &self,
        inputs: &[Tensor],
        [dq, dk, dv]: [Tensor; 3],
        gradients: &mut Gradients,
    ) -> Result<()> {
        let [dq, dk] = match &self.angles {
            Some(angles) => [turn(&dq, angles, true)?, turn(&dk, angles, true)?],
            None => [dq, dk],
        };
        gradients.add_tensor(&inputs[0], dq)?;
        gradients.add_tensor(&inputs[1], dk)?;
        gradients.add_tensor(&inputs[2], dv)
    }

    /// Tiles of at most `tile_bytes`, of which each score takes `bytes`.
    fn tiles(&self, tile_bytes: usize, bytes: usize) -> Vec<Tile> {
        let (heads, t) = (self.b * self.heads.n_heads, self.t);
        let rows = (tile_bytes / (bytes * self.keys.max(1))).max(1);
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

    /// Queries `(B, t, D)` as `(B, heads, t, D/H)`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        swap_axes(x, self.t, self.heads.n_heads, self.d_head())
    }

    /// `(B, heads, t, D/H)` as queries.
    fn merge(&self, x: &Tensor) -> Result<Tensor> {
        swap_axes(x, self.heads.n_heads, self.t, self.d_head())?.reshape((self.b, self.t, self.d))
    }

    /// Keys or values `(B, keys, n_kv_heads D/H)` as `(B, heads, keys, D/H)`: each as often as it serves.
    fn split_keys(&self, x: &Tensor) -> Result<Tensor> {
        let Heads { n_heads, n_kv_heads, .. } = self.heads;
        let x = swap_axes(x, self.keys, n_kv_heads, self.d_head())?;
        if n_heads == n_kv_heads {
            return Ok(x);
        }
        let y = empty((self.b, n_heads, self.keys, self.d_head()), x.dtype(), &x)?;
        self.over_heads("repeat_heads", &x, &y)?;
        Ok(y)
    }

    /// `(B, heads, keys, D/H)` as keys or values: those that serve together are added up.
    fn merge_keys(&self, x: &Tensor) -> Result<Tensor> {
        let Heads { n_heads, n_kv_heads, .. } = self.heads;
        let sums = empty((self.b, n_kv_heads, self.keys, self.d_head()), x.dtype(), x)?;
        let x = if n_heads == n_kv_heads {
            x
        } else {
            self.over_heads("sum_heads", x, &sums)?;
            &sums
        };
        let merged = swap_axes(x, n_kv_heads, self.keys, self.d_head())?;
        merged.reshape((self.b, self.keys, n_kv_heads * self.d_head()))
    }

    fn over_heads(&self, kernel: &str, x: &Tensor, y: &Tensor) -> Result<()> {
        let (n, each) = (y.elem_count(), self.heads.n_heads / self.heads.n_kv_heads);
        let sizes = [n.into(), (self.keys * self.d_head()).into(), each.into()];
        let arguments = [&[tensor(x)?, tensor(y)?][..], &sizes].concat();
        launch(device(x)?, &format!("{kernel}_{}", suffix(x.dtype())?), Grid::of_elements(n), &arguments)
    }

    /// Scaled scores of a tile, `(heads, rows, keys)` of f32.
    fn scores(&self, on: &Tensor, tile: Tile, q: Matrix, k: Matrix) -> Result<Tensor> {
        let scores = empty((tile.heads, tile.rows, self.keys), DType::F32, on)?;
        let out = Matrix::new(&scores, tile.rows, self.keys)?;
        product(on, out, [tile.queries(q), tile.keys(k).t()], tile.heads, self.scale(), false)?;
        Ok(scores)
    }

    /// What both kernels end with: sizes, and which of all rows these are.
    fn rest(&self, tile: Tile) -> [Argument; 6] {
        [
            (tile.heads * tile.rows).into(),
            self.keys.into(),
            (tile.first_head * self.t + tile.first_row).into(),
            self.heads.n_heads.into(),
            self.t.into(),
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
        let mask = self.mask_f32()?;
        let mask = mask.as_ref().map_or(Ok(Argument::Address(0)), tensor)?;
        match self.fused(inputs[0].dtype()) {
            Some(factors) => self.fused_forward(factors, inputs, mask),
            None => self.forward_in_tiles(inputs, mask, TILE_BYTES),
        }
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let mask = self.mask_f32()?;
        let mask = mask.as_ref().map_or(Ok(Argument::Address(0)), tensor)?;
        match self.fused(inputs[0].dtype()) {
            Some(factors) => self.fused_backward(factors, inputs, dy, gradients, mask),
            None => self.backward_in_tiles(inputs, dy, gradients, mask, TILE_BYTES),
        }
    }
}

impl Attention {
    fn forward_in_tiles(&self, inputs: &[Tensor], mask: Argument, tile_bytes: usize) -> Result<Tensor> {
        let (x, dtype) = (&inputs[0], inputs[0].dtype());
        let [q, k] = self.turned_on_gpu(inputs)?;
        let (q, k, v) = (self.split(&q)?, self.split_keys(&k)?, self.split_keys(&inputs[2])?);
        let y = empty(x.elem_count(), dtype, x)?;
        let (d_head, name) = (self.d_head(), format!("softmax_{}", suffix(dtype)?));
        let [queries, output] = [Matrix::new(&q, self.t, d_head)?, Matrix::new(&y, self.t, d_head)?];
        let [keys, values] = [Matrix::new(&k, self.keys, d_head)?, Matrix::new(&v, self.keys, d_head)?];
        for tile in self.tiles(tile_bytes, 4 + dtype.size_in_bytes()) {
            let scores = self.scores(x, tile, queries, keys)?;
            let weights = empty(scores.shape(), dtype, x)?;
            let arguments = [&[tensor(&scores)?, mask, self.seen()?, tensor(&weights)?][..], &self.rest(tile)].concat();
            launch(device(x)?, &name, tile.grid(), &arguments)?;
            let weights = Matrix::new(&weights, tile.rows, self.keys)?;
            product(x, tile.queries(output), [weights, tile.keys(values)], tile.heads, 1.0, false)?;
        }
        self.merge(&y)
    }

    /// As on the CPU, with A the weights after dropout: `dV = A^T dO`, `dA = dO V^T`, dS by the kernel,
    /// `dQ = dS K`, `dK = dS^T Q`.
    fn backward_in_tiles(
        &self,
        inputs: &[Tensor],
        dy: &Tensor,
        gradients: &mut Gradients,
        mask: Argument,
        tile_bytes: usize,
    ) -> Result<()> {
        let (x, dtype) = (&inputs[0], inputs[0].dtype());
        let [q, k] = self.turned_on_gpu(inputs)?;
        let (q, k, v) = (self.split(&q)?, self.split_keys(&k)?, self.split_keys(&inputs[2])?);
        let dout = self.split(dy)?;
        let (dq, dk, dv) = (empty(q.shape(), dtype, x)?, empty(k.shape(), dtype, x)?, empty(v.shape(), dtype, x)?);
        let (d_head, name) = (self.d_head(), format!("softmax_backward_{}", suffix(dtype)?));
        let of_queries = |x: &Tensor| Matrix::new(x, self.t, d_head);
        let of_keys = |x: &Tensor| Matrix::new(x, self.keys, d_head);
        let (queries, dqueries, doutput) = (of_queries(&q)?, of_queries(&dq)?, of_queries(&dout)?);
        let (keys, values, dkeys, dvalues) = (of_keys(&k)?, of_keys(&v)?, of_keys(&dk)?, of_keys(&dv)?);
        for tile in self.tiles(tile_bytes, 8 + 2 * dtype.size_in_bytes()) {
            let (heads, scale, later) = (tile.heads, self.scale(), tile.first_row > 0);
            let scores = self.scores(x, tile, queries, keys)?;
            let da = empty(scores.shape(), DType::F32, x)?;
            let slopes = Matrix::new(&da, tile.rows, self.keys)?;
            product(x, slopes, [tile.queries(doutput), tile.keys(values).t()], heads, 1.0, false)?;
            let (weights, dscores) = (empty(scores.shape(), dtype, x)?, empty(scores.shape(), dtype, x)?);
            let (scores, seen) = (tensor(&scores)?, self.seen()?);
            let tensors = [scores, mask, seen, tensor(&da)?, tensor(&weights)?, tensor(&dscores)?];
            launch(device(x)?, &name, tile.grid(), &[&tensors[..], &self.rest(tile)].concat())?;
            let weights = Matrix::new(&weights, tile.rows, self.keys)?;
            let dscores = Matrix::new(&dscores, tile.rows, self.keys)?;
            product(x, tile.keys(dvalues), [weights.t(), tile.queries(doutput)], heads, 1.0, later)?;
            product(x, tile.queries(dqueries), [dscores, tile.keys(keys)], heads, scale, false)?;
            product(x, tile.keys(dkeys), [dscores.t(), tile.queries(queries)], heads, scale, later)?;
        }
        let of_inputs = [self.merge(&dq)?, self.merge_keys(&dk)?, self.merge_keys(&dv)?];
        self.add_gradients(inputs, of_inputs, gradients)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::ops::{Dropout, Sequences};

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn tiles_of_any_size_compute_the_same() {
        let gpu = crate::nn::open_cuda(0).unwrap();
        let (b, t, keys, heads) = (2, 9, 5, Heads::of(3, Dropout { p: 0.2, seed: 4 }));
        let random = |rows: usize| Tensor::randn(0f32, 1.0, (b, rows, 12), &Device::Cpu).unwrap().to_device(&gpu);
        let inputs = [random(t).unwrap(), random(keys).unwrap(), random(keys).unwrap()];
        let dy = random(t).unwrap();
        let attention = Attention::new(&inputs[0], &inputs[1], &inputs[2], Sequences::default(), heads).unwrap();
        let run = |tile_bytes| {
            let mut gradients = Gradients::default();
            let y = attention.forward_in_tiles(&inputs, Argument::Address(0), tile_bytes).unwrap();
            attention.backward_in_tiles(&inputs, &dy, &mut gradients, Argument::Address(0), tile_bytes).unwrap();
            let all = inputs.iter().map(|x| gradients.get(x).unwrap()).chain([&y]);
            all.flat_map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<f32>>()
        };
        let whole = run(TILE_BYTES);
        // Of 16 bytes a score backward: two rows, all rows of a head, two heads.
        for (tile_bytes, tiles) in [(2 * keys * 16, 6 * 5), (t * keys * 16, 6), (2 * t * keys * 16, 3)] {
            assert_eq!(attention.tiles(tile_bytes, 16).len(), tiles);
            let off = run(tile_bytes).iter().zip(&whole).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(off < 1e-5, "tiles of {tile_bytes} bytes: off by {off:e}");
        }
    }
}
