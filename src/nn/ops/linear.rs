//! A linear with its bias: one product forward, two backward, no copy of a transposed factor.

use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::gemm::{Matrix, Threads, new_product, product};
use super::real::{Real, by_type, dispatch, repeat, slices};
use super::{Gradients, LongRows, Operation};

/// `x W^T + b` of x `(.., i)`, w `(o, i)` and, if given, b `(o)`.
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "on the CPU, weights have the type of x"))]
pub(in crate::nn) struct Linear {
    /// Copies of w and b in the type of x, if that is another and there are any.
    pub(in crate::nn) copies: [Option<Tensor>; 2],
}

/// Rows and columns of x, columns of the result, and its shape.
pub(super) fn shapes(inputs: &[Tensor]) -> Result<(usize, usize, usize, Shape)> {
    let (dims, (out, columns)) = (inputs[0].dims(), inputs[1].dims2()?);
    if dims.last() != Some(&columns) {
        bail!("a linear of {columns} inputs on a tensor of shape {dims:?}");
    }
    if let Some(b) = inputs.get(2)
        && b.dims() != [out]
    {
        bail!("a bias of shape {:?} for {out} outputs", b.dims());
    }
    let mut shape = dims.to_vec();
    shape[dims.len() - 1] = out;
    Ok((dims[..dims.len() - 1].iter().product(), columns, out, Shape::from(shape)))
}

impl Operation for Linear {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, w, b) = (&inputs[0], &inputs[1], inputs.get(2));
        let (rows, columns, out, shape) = shapes(inputs)?;
        by_type!(x.dtype(), T => {
            let y = slices::<T, _, _>([x, w], |[x, w]| {
                let (x, w) = (Matrix::new(x, rows, columns), Matrix::new(w, out, columns).t());
                let Some(b) = b else { return Ok(new_product(x, w, Threads::All)) };
                let mut y = slices::<T, _, _>([b], |[b]| repeat(b, rows))?;
                product(&mut y, x, w, 1.0, true, Threads::All);
                Ok::<_, candle_core::Error>(y)
            })??;
            Tensor::from_vec(y, shape, x.device())
        })
    }

    /// dx = dy W, dW = dy^T x, db = sum of the rows of dy.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, w) = (&inputs[0], &inputs[1]);
        let (rows, columns, out, _) = shapes(inputs)?;
        by_type!(x.dtype(), T => slices::<T, _, _>([x, w, dy], |[x_values, w_values, dy]| {
            let dy_m = Matrix::new(dy, rows, out);
            gradients.product(x, dy_m, Matrix::new(w_values, out, columns))?;
            gradients.product(w, dy_m.t(), Matrix::new(x_values, rows, columns))?;
            match inputs.get(2) {
                Some(b) if gradients.wants(b) => gradients.add(b, column_sums(dy, out)),
                _ => Ok(()),
            }
        })?)
    }

    fn long_rows(&self) -> LongRows {
        LongRows::InGradient
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

/// The sum of the rows of a matrix with `columns` columns.
pub(super) fn column_sums<T: Real>(values: &[T], columns: usize) -> Vec<T> {
    let rows_a_task = (1 << 17) / columns.max(1) + 1;
    values
        .par_chunks(rows_a_task * columns)
        .map(|rows| {
            let mut sums = vec![T::zero(); columns];
            dispatch(|| {
                for row in rows.chunks_exact(columns) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
                }
            });
            sums
        })
        .reduce(
            || vec![T::zero(); columns],
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                a
            },
        )
}
