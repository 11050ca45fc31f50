//! Attention over all heads at once, in tiles of query rows: no matrix of scores outlives its tile, and the
//! backward pass computes the scores again (Dao et al. 2022, without the tiling over keys). Keys that no row of a tile sees are
//! left out of its products.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::dropout::Dropout;
use super::gemm::{Matrix, Threads, product};
use super::real::{Real, by_type, dispatch, dot, max, slices, sum};
use super::rotary::Angles;
use super::visible::{Sight, Visible};
use super::{Gradients, Operation};

/// Query rows of a tile.
const TILE: usize = 128;

/// How the width is divided, what is seen, and the dropout of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Number of heads.
    pub n_heads: usize,
    /// Heads of keys and values, each of which serves as many of queries as the next (Ainslie et al. 2023, arXiv 2305.13245).
    pub n_kv_heads: usize,
    /// Which keys a query sees.
    pub sight: Sight,
    /// Dropout of the attention weights.
    pub dropout: Dropout,
}

impl Heads {
    /// Heads with keys of their own, which see all of them.
    #[must_use]
    pub const fn of(n_heads: usize, dropout: Dropout) -> Self {
        Self { n_heads, n_kv_heads: n_heads, sight: Sight::All, dropout }
    }
}

/// What attention is told of the sequences beside queries, keys and values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequences<'a> {
    /// What is added to the scores of each sequence's keys, `(B, K)`: far below any score where they are padding.
    pub mask: Option<&'a Tensor>,
    /// The first token of each query's document, `(B, T)` of u32: none before it is seen.
    pub starts: Option<&'a Tensor>,
    /// By which queries and keys are turned at each position.
    pub angles: Option<&'a Arc<Angles>>,
}

/// Attention of `[q, k, v]` over all heads.
pub(in crate::nn) struct Attention {
    pub(super) b: usize,
    pub(super) t: usize,
    pub(super) d: usize,
    pub(super) keys: usize,
    pub(super) heads: Heads,
    pub(super) mask: Option<Tensor>,
    visible: Visible,
    pub(super) angles: Option<Arc<Angles>>,
    /// The first key of each query's document, where a GPU reads them.
    #[cfg(feature = "cuda")]
    pub(super) starts: Option<Tensor>,
    /// What a GPU keeps from the forward pass for the backward pass.
    #[cfg(feature = "cuda")]
    pub(super) saved: std::sync::Mutex<Option<super::cuda::Saved>>,
}

/// Positions from the weights of a row of scores to those of the next, for dropout. All rows begin at a multiple of 16, so
/// that the pairs of positions that share a hash lie alike in each.
pub(super) fn pitch(keys: usize) -> usize {
    keys.next_multiple_of(16)
}

/// What one head of one sequence sees.
struct Head<'a, T> {
    q: Matrix<'a, T>,
    k: Matrix<'a, T>,
    v: Matrix<'a, T>,
    mask: Option<&'a [f64]>,
    /// Its sequence.
    b: usize,
    /// Position of its first weight, for dropout: see [`pitch`].
    first_weight: usize,
}

impl Attention {
    /// Checks shapes: q `(b, t, d)`, k and v `(b, keys, d)` or as much narrower as there are fewer heads of keys, mask `(b, keys)`,
    /// starts `(b, t)`.
    pub(in crate::nn) fn new(q: &Tensor, k: &Tensor, v: &Tensor, of: Sequences<'_>, heads: Heads) -> Result<Self> {
        let (b, t, d) = q.dims3()?;
        let (bk, keys, dk) = k.dims3()?;
        let Heads { n_heads, n_kv_heads, sight, .. } = heads;
        let fits = n_kv_heads > 0 && n_heads % n_kv_heads == 0 && d % n_heads == 0 && dk * n_heads == d * n_kv_heads;
        if bk != b || v.dims() != k.dims() || !fits {
            bail!(
                "attention of shapes {:?}, {:?}, {:?} in {n_heads} heads, {n_kv_heads} of keys",
                q.dims(),
                k.dims(),
                v.dims()
            );
        }
        if let Some(angles) = of.angles {
            angles.check(t.max(keys), d / n_heads)?;
        }
        let mask = of.mask;
        if let Some(mask) = mask
            && mask.dims() != [b, keys]
        {
            bail!("a mask of shape {:?} for {b} x {keys} keys", mask.dims());
        }
        Ok(Self {
            b,
            t,
            d,
            keys,
            heads,
            mask: mask.cloned(),
            angles: of.angles.cloned(),
            visible: Visible::new(sight, of.starts, [b, t, keys])?,
            #[cfg(feature = "cuda")]
            starts: of.starts.filter(|s| s.device().is_cuda()).map(Tensor::contiguous).transpose()?,
            #[cfg(feature = "cuda")]
            saved: std::sync::Mutex::default(),
        })
    }

    /// Whether the device of `q` has no kernel for it, so that it has to be composed of the library's operations.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(clippy::unused_self, reason = "without CUDA there are no kernels to ask for")
    )]
    pub(in crate::nn) fn is_composed(&self, q: &Tensor) -> bool {
        #[cfg(feature = "cuda")]
        return q.device().is_cuda() && !self.has_kernels();
        #[cfg(not(feature = "cuda"))]
        q.device().is_cuda()
    }

    /// What is added to the scores of each sequence's keys.
    fn mask_values(&self) -> Result<Option<Vec<f64>>> {
        self.mask.as_ref().map(|m| m.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1()).transpose()
    }

    pub(super) fn d_head(&self) -> usize {
        self.d / self.heads.n_heads
    }

    pub(super) fn scale(&self) -> f64 {
        1.0 / (self.d_head() as f64).sqrt()
    }

    /// Queries and keys turned by their positions, or as they are.
    fn turned<'a, T: Real>(&self, [q, k]: [&'a [T]; 2]) -> [Cow<'a, [T]>; 2] {
        let Some(angles) = &self.angles else { return [Cow::Borrowed(q), Cow::Borrowed(k)] };
        let of_keys = self.d_head() * self.heads.n_kv_heads;
        [angles.turn(q, (self.t, self.d), false), angles.turn(k, (self.keys, of_keys), false)].map(Cow::Owned)
    }

    /// The columns of head `h` of sequence `b` in a `(B, rows, heads D/H)` tensor.
    fn columns<'a, T>(&self, x: &'a [T], (b, h, n_heads): (usize, usize, usize), rows: usize) -> Matrix<'a, T> {
        let (d_head, width) = (self.d_head(), self.d_head() * n_heads);
        Matrix::strided(&x[b * rows * width + h * d_head..], rows, d_head, width)
    }

    fn head<'a, T>(&self, [q, k, v]: [&'a [T]; 3], mask: Option<&'a [f64]>, index: usize) -> Head<'a, T> {
        let Heads { n_heads, n_kv_heads, .. } = self.heads;
        let (b, h) = (index / n_heads, index % n_heads);
        let of_keys = (b, h * n_kv_heads / n_heads, n_kv_heads);
        Head {
            q: self.columns(q, (b, h, n_heads), self.t),
            k: self.columns(k, of_keys, self.keys),
            v: self.columns(v, of_keys, self.keys),
            mask: mask.map(|m| &m[b * self.keys..(b + 1) * self.keys]),
            b,
            first_weight: index * self.t * pitch(self.keys),
        }
    }

    /// Attention weights of the query rows from `first` on and of the keys that any of them sees, before dropout.
    fn weights<T: Real>(&self, head: &Head<'_, T>, tile: &Tile) -> Vec<T> {
        let n = tile.keys.len();
        let mut weights = vec![T::zero(); tile.rows * n];
        let keys = some_rows(head.k, tile.keys.start, n);
        product(&mut weights, some_rows(head.q, tile.first, tile.rows), keys.t(), self.scale(), false, Threads::One);
        for (i, row) in weights.chunks_exact_mut(n).enumerate() {
            let seen = self.visible.of_row(head.b, tile.first + i);
            let (start, end) = (seen.start - tile.keys.start, seen.end - tile.keys.start);
            row[..start].fill(T::zero());
            row[end..].fill(T::zero());
            let row = &mut row[start..end];
            if let Some(mask) = head.mask {
                row.iter_mut().zip(&mask[seen]).for_each(|(s, m)| *s += T::of(*m));
            }
            dispatch(|| {
                let max = max(row);
                row.iter_mut().for_each(|s| *s = (*s - max).exponential());
                let inverse = T::one() / sum(row, |x| x);
                row.iter_mut().for_each(|s| *s *= inverse);
            });
        }
        weights
    }

    /// The tile whose first row is the `index`-th of its size.
    fn tile(&self, b: usize, index: usize, rows: usize) -> Tile {
        let first = index * TILE;
        Tile { first, rows, keys: self.visible.of_rows(b, first..first + rows) }
    }

    fn drop_out<T: Real>(&self, head: &Head<'_, T>, weights: &mut [T], tile: &Tile) {
        dispatch(|| {
            for (i, row) in weights.chunks_exact_mut(tile.keys.len()).enumerate() {
                let first = head.first_weight + (tile.first + i) * pitch(self.keys) + tile.keys.start;
                self.heads.dropout.apply(row, first);
            }
        });
    }

    fn forward<T: Real>(&self, [q, k, v]: [&[T]; 3], mask: Option<&[f64]>) -> Vec<T> {
        let [q, k] = &self.turned([q, k]);
        let qkv = [q, k, v];
        let heads: Vec<Vec<T>> = (0..self.b * self.heads.n_heads)
            .into_par_iter()
            .map(|index| {
                let head = self.head(qkv, mask, index);
                let mut out = vec![T::zero(); self.t * self.d_head()];
                for (i, out) in out.chunks_mut(TILE * self.d_head()).enumerate() {
                    let tile = self.tile(head.b, i, out.len() / self.d_head());
                    let mut weights = self.weights(&head, &tile);
                    self.drop_out(&head, &mut weights, &tile);
                    let weights = Matrix::new(&weights, tile.rows, tile.keys.len());
                    let values = some_rows(head.v, tile.keys.start, tile.keys.len());
                    product(out, weights, values, 1.0, false, Threads::One);
                }
                out
            })
            .collect();
        self.gather(&heads, self.t, self.heads.n_heads)
    }

    /// Gradients of q, k and v. With P the weights, M the dropout mask and S the scaled scores:
    /// `dV = (P M)^T dO`, `dP = (dO V^T) M`, `dS = P (dP - rowsum(dP P))`, `dQ = dS K`, `dK = dS^T Q`.
    fn backward<T: Real>(&self, [q, k, v]: [&[T]; 3], mask: Option<&[f64]>, dout: &[T]) -> [Vec<T>; 3] {
        let [q, k] = &self.turned([q, k]);
        let qkv = [q, k, v];
        let d_head = self.d_head();
        let heads: Vec<[Vec<T>; 3]> = (0..self.b * self.heads.n_heads)
            .into_par_iter()
            .map(|index| {
                let head = self.head(qkv, mask, index);
                let (n_heads, t) = (self.heads.n_heads, self.t);
                let dout = self.columns(dout, (head.b, index % n_heads, n_heads), t);
                let mut dq = vec![T::zero(); self.t * d_head];
                let mut dk = vec![T::zero(); self.keys * d_head];
                let mut dv = vec![T::zero(); self.keys * d_head];
                for (i, dq) in dq.chunks_mut(TILE * d_head).enumerate() {
                    let tile = self.tile(head.b, i, dq.len() / d_head);
                    let (rows, n) = (tile.rows, tile.keys.len());
                    let of_keys = tile.keys.start * d_head..tile.keys.end * d_head;
                    let weights = self.weights(&head, &tile);
                    let mut dropped = weights.clone();
                    self.drop_out(&head, &mut dropped, &tile);
                    let dout = some_rows(dout, tile.first, rows);
                    let dv = &mut dv[of_keys.clone()];
                    product(dv, Matrix::new(&dropped, rows, n).t(), dout, 1.0, true, Threads::One);
                    let mut ds = dropped;
                    product(&mut ds, dout, some_rows(head.v, tile.keys.start, n).t(), 1.0, false, Threads::One);
                    self.drop_out(&head, &mut ds, &tile);
                    // A weight of 0, as of a key that is not seen, makes a gradient of 0.
                    for (ds, p) in ds.chunks_exact_mut(n).zip(weights.chunks_exact(n)) {
                        dispatch(|| {
                            let sum = dot(ds, p);
                            ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = (*ds - sum) * *p);
                        });
                    }
                    let ds = Matrix::new(&ds, rows, n);
                    product(dq, ds, some_rows(head.k, tile.keys.start, n), self.scale(), false, Threads::One);
                    let q = some_rows(head.q, tile.first, rows);
                    product(&mut dk[of_keys], ds.t(), q, self.scale(), true, Threads::One);
                }
                [dq, dk, dv]
            })
            .collect();
        let of = |i: usize, rows: usize, n_heads: usize| {
            let parts: Vec<&Vec<T>> = heads.iter().map(|h| &h[i]).collect();
            self.gather(&parts, rows, n_heads)
        };
        let of_keys = self.heads.n_kv_heads;
        let [dq, dk] = [of(0, self.t, self.heads.n_heads), of(1, self.keys, of_keys)];
        let dv = of(2, self.keys, of_keys);
        match &self.angles {
            Some(angles) => {
                [angles.turn(&dq, (self.t, self.d), true), angles.turn(&dk, (self.keys, d_head * of_keys), true), dv]
            }
            None => [dq, dk, dv],
        }
    }

    /// `(rows, D/H)` of each head of each sequence into `(B, rows, n_heads D/H)`: those that share one are added up.
    fn gather<T: Real, V: AsRef<[T]> + Sync>(&self, heads: &[V], rows: usize, n_heads: usize) -> Vec<T> {
        let d_head = self.d_head();
        let each = self.heads.n_heads / n_heads;
        let mut out = vec![T::zero(); self.b * rows * n_heads * d_head];
        out.par_chunks_mut(n_heads * d_head).enumerate().for_each(|(row, out)| {
            let (b, row) = (row / rows, row % rows);
            for (group, out) in out.chunks_exact_mut(d_head).enumerate() {
                let first = (b * n_heads + group) * each;
                let part = |i: usize| &heads[i].as_ref()[row * d_head..(row + 1) * d_head];
                out.copy_from_slice(part(first));
                for other in first + 1..first + each {
                    out.iter_mut().zip(part(other)).for_each(|(sum, x)| *sum += *x);
                }
            }
        });
        out
    }
}

/// Query rows that are computed together, and the keys that any of them sees.
struct Tile {
    first: usize,
    rows: usize,
    keys: Range<usize>,
}

/// `rows` rows of a matrix from `first` on.
fn some_rows<T: Copy>(m: Matrix<'_, T>, first: usize, rows: usize) -> Matrix<'_, T> {
    Matrix { data: &m.data[first * m.row_stride..], rows, ..m }
}

impl Operation for Attention {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let [q, k, v] = [0, 1, 2].map(|i| &inputs[i]);
        let mask = self.mask_values()?;
        by_type!(q.dtype(), T => {
            let y = slices::<T, _, _>([q, k, v], |qkv| Self::forward(self, qkv, mask.as_deref()))?;
            Tensor::from_vec(y, q.shape(), q.device())
        })
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let [q, k, v] = [0, 1, 2].map(|i| &inputs[i]);
        let mask = self.mask_values()?;
        by_type!(q.dtype(), T => {
            let [dq, dk, dv] = slices::<T, _, _>([q, k, v, dy], |[q, k, v, dy]| {
                Self::backward(self, [q, k, v], mask.as_deref(), dy)
            })?;
            gradients.add(q, dq)?;
            gradients.add(k, dk)?;
            gradients.add(v, dv)
        })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}
