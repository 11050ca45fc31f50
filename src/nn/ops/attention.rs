//! Attention over all heads at once, in tiles of query rows: no matrix of scores outlives its tile, and the
//! backward pass computes the scores again (Dao et al. 2022, without the tiling over keys).

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::dropout::Dropout;
use super::gemm::{Matrix, Threads, product};
use super::real::{Real, by_type, dispatch, dot, max, slices, sum};
use super::{Gradients, Operation};

/// Query rows of a tile.
const TILE: usize = 128;

/// How the width is divided, and the dropout of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Number of heads.
    pub n_heads: usize,
    /// Dropout of the attention weights.
    pub dropout: Dropout,
}

/// Attention of `[q, k, v]` over all heads.
pub(in crate::nn) struct Attention {
    pub(super) b: usize,
    pub(super) t: usize,
    pub(super) d: usize,
    pub(super) keys: usize,
    pub(super) heads: Heads,
    pub(super) mask: Option<Tensor>,
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
    /// Position of its first weight, for dropout: see [`pitch`].
    first_weight: usize,
}

impl Attention {
    /// Checks shapes: q `(b, t, d)`, k and v `(b, keys, d)`, mask `(b, keys)`.
    pub(in crate::nn) fn new(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, heads: Heads) -> Result<Self> {
        let (b, t, d) = q.dims3()?;
        let (bk, keys, dk) = k.dims3()?;
        if (bk, dk) != (b, d) || v.dims() != k.dims() || d % heads.n_heads != 0 {
            bail!("attention of shapes {:?}, {:?}, {:?} in {} heads", q.dims(), k.dims(), v.dims(), heads.n_heads);
        }
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
            #[cfg(feature = "cuda")]
            saved: std::sync::Mutex::default(),
        })
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

    /// The columns of head `h` of sequence `b` in a `(B, rows, D)` tensor.
    fn columns<'a, T>(&self, x: &'a [T], index: usize, rows: usize) -> Matrix<'a, T> {
        let (b, h) = (index / self.heads.n_heads, index % self.heads.n_heads);
        Matrix::strided(&x[b * rows * self.d + h * self.d_head()..], rows, self.d_head(), self.d)
    }

    fn head<'a, T>(&self, [q, k, v]: [&'a [T]; 3], mask: Option<&'a [f64]>, index: usize) -> Head<'a, T> {
        let b = index / self.heads.n_heads;
        Head {
            q: self.columns(q, index, self.t),
            k: self.columns(k, index, self.keys),
            v: self.columns(v, index, self.keys),
            mask: mask.map(|m| &m[b * self.keys..(b + 1) * self.keys]),
            first_weight: index * self.t * pitch(self.keys),
        }
    }

    /// Attention weights of the query rows from `first` on, before dropout.
    fn weights<T: Real>(&self, head: &Head<'_, T>, first: usize, rows: usize) -> Vec<T> {
        let mut weights = vec![T::zero(); rows * self.keys];
        product(&mut weights, some_rows(head.q, first, rows), head.k.t(), self.scale(), false, Threads::One);
        for row in weights.chunks_exact_mut(self.keys) {
            if let Some(mask) = head.mask {
                row.iter_mut().zip(mask).for_each(|(s, m)| *s += T::of(*m));
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

    fn drop_out<T: Real>(&self, head: &Head<'_, T>, weights: &mut [T], first_row: usize) {
        dispatch(|| {
            for (i, row) in weights.chunks_exact_mut(self.keys).enumerate() {
                self.heads.dropout.apply(row, head.first_weight + (first_row + i) * pitch(self.keys));
            }
        });
    }

    fn forward<T: Real>(&self, qkv: [&[T]; 3], mask: Option<&[f64]>) -> Vec<T> {
        let heads: Vec<Vec<T>> = (0..self.b * self.heads.n_heads)
            .into_par_iter()
            .map(|index| {
                let head = self.head(qkv, mask, index);
                let mut out = vec![T::zero(); self.t * self.d_head()];
                for (tile, out) in out.chunks_mut(TILE * self.d_head()).enumerate() {
                    let rows = out.len() / self.d_head();
                    let mut weights = self.weights(&head, tile * TILE, rows);
                    self.drop_out(&head, &mut weights, tile * TILE);
                    product(out, Matrix::new(&weights, rows, self.keys), head.v, 1.0, false, Threads::One);
                }
                out
            })
            .collect();
        self.gather(&heads, self.t)
    }

    /// Gradients of q, k and v. With P the weights, M the dropout mask and S the scaled scores:
    /// `dV = (P M)^T dO`, `dP = (dO V^T) M`, `dS = P (dP - rowsum(dP P))`, `dQ = dS K`, `dK = dS^T Q`.
    fn backward<T: Real>(&self, qkv: [&[T]; 3], mask: Option<&[f64]>, dout: &[T]) -> [Vec<T>; 3] {
        let d_head = self.d_head();
        let heads: Vec<[Vec<T>; 3]> = (0..self.b * self.heads.n_heads)
            .into_par_iter()
            .map(|index| {
                let head = self.head(qkv, mask, index);
                let dout = self.columns(dout, index, self.t);
                let mut dq = vec![T::zero(); self.t * d_head];
                let mut dk = vec![T::zero(); self.keys * d_head];
                let mut dv = vec![T::zero(); self.keys * d_head];
                for (tile, dq) in dq.chunks_mut(TILE * d_head).enumerate() {
                    let (first, rows) = (tile * TILE, dq.len() / d_head);
                    let weights = self.weights(&head, first, rows);
                    let mut dropped = weights.clone();
                    self.drop_out(&head, &mut dropped, first);
                    let dout = some_rows(dout, first, rows);
                    product(&mut dv, Matrix::new(&dropped, rows, self.keys).t(), dout, 1.0, true, Threads::One);
                    let mut ds = dropped;
                    product(&mut ds, dout, head.v.t(), 1.0, false, Threads::One);
                    self.drop_out(&head, &mut ds, first);
                    for (ds, p) in ds.chunks_exact_mut(self.keys).zip(weights.chunks_exact(self.keys)) {
                        dispatch(|| {
                            let sum = dot(ds, p);
                            ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = (*ds - sum) * *p);
                        });
                    }
                    let ds = Matrix::new(&ds, rows, self.keys);
                    product(dq, ds, head.k, self.scale(), false, Threads::One);
                    let q = some_rows(head.q, first, rows);
                    product(&mut dk, ds.t(), q, self.scale(), true, Threads::One);
                }
                [dq, dk, dv]
            })
            .collect();
        let of = |i: usize, rows: usize| {
            let parts: Vec<&Vec<T>> = heads.iter().map(|h| &h[i]).collect();
            self.gather(&parts, rows)
        };
        [of(0, self.t), of(1, self.keys), of(2, self.keys)]
    }

    /// `(rows, D/H)` of each head of each sequence into `(B, rows, D)`.
    fn gather<T: Real, V: AsRef<[T]> + Sync>(&self, heads: &[V], rows: usize) -> Vec<T> {
        let (n_heads, d_head) = (self.heads.n_heads, self.d_head());
        let mut out = vec![T::zero(); self.b * rows * self.d];
        out.par_chunks_mut(self.d).enumerate().for_each(|(row, out)| {
            let (b, row) = (row / rows, row % rows);
            for (h, out) in out.chunks_exact_mut(d_head).enumerate() {
                out.copy_from_slice(&heads[b * n_heads + h].as_ref()[row * d_head..(row + 1) * d_head]);
            }
        });
        out
    }
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
