//! A linear with its bias: one product forward, two backward, no copy of a transposed factor.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gemm::{Matrix, Threads, product};
use super::real::{Real, by_type, part, with_slice};

/// `x W^T + b`; shapes as in [`super::Ops::linear`].
pub(super) fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    match b {
        Some(b) => x.apply_op3(&w, &b.contiguous()?, Linear),
        None => x.apply_op2(&w, Linear),
    }
}

#[derive(Debug, Clone, Copy)]
struct Linear;

/// Rows and columns of x, and the shape of the result.
fn shapes(x: &Layout, w: &Layout) -> Result<(usize, usize, usize, Shape)> {
    let (dims, (out, columns)) = (x.dims(), w.shape().dims2()?);
    if dims.last() != Some(&columns) {
        bail!("a linear of {columns} inputs on a tensor of shape {dims:?}");
    }
    let mut shape = dims.to_vec();
    shape[dims.len() - 1] = out;
    Ok((dims[..dims.len() - 1].iter().product(), columns, out, Shape::from(shape)))
}

fn forward<T: Real>(x: &[T], w: &[T], b: Option<&[T]>, (rows, columns, out): (usize, usize, usize)) -> Vec<T> {
    let mut y = match b {
        Some(b) => b.iter().copied().cycle().take(rows * out).collect(),
        None => vec![T::zero(); rows * out],
    };
    let (x, w) = (Matrix::new(x, rows, columns), Matrix::new(w, out, columns));
    product(&mut y, x, w.t(), 1.0, b.is_some(), Threads::All);
    y
}

/// dx = dy W, dW = dy^T x, db = sum of the rows of dy.
fn backward(x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let (rows, columns, out, _) = shapes(x.layout(), w.layout())?;
    let dy = dy.contiguous()?;
    let device = x.device();
    by_type!(x.dtype(), T => with_slice::<T, _>(&dy, |dy| {
        let dy_m = Matrix::new(dy, rows, out);
        let mut dx = vec![T::default(); rows * columns];
        with_slice::<T, _>(w, |w| {
            product(&mut dx, dy_m, Matrix::new(w, out, columns), 1.0, false, Threads::All);
            Ok(())
        })?;
        let mut dw = vec![T::default(); out * columns];
        with_slice::<T, _>(x, |x| {
            product(&mut dw, dy_m.t(), Matrix::new(x, rows, columns), 1.0, false, Threads::All);
            Ok(())
        })?;
        let db = column_sums(dy, out);
        Ok((
            Tensor::from_vec(dx, x.shape(), device)?,
            Tensor::from_vec(dw, w.shape(), device)?,
            Tensor::from_vec(db, out, device)?,
        ))
    }))
}

/// The sum of the rows of a matrix with `columns` columns.
pub(super) fn column_sums<T: Real>(values: &[T], columns: usize) -> Vec<T> {
    let rows_a_task = (1 << 15) / columns.max(1) + 1;
    values
        .par_chunks(rows_a_task * columns)
        .map(|rows| {
            let mut sums = vec![T::zero(); columns];
            for row in rows.chunks_exact(columns) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
            }
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

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, columns, out, shape) = shapes(lx, lw)?;
        let y = by_type!(x_dtype(x), T => {
            let b = part::<T>(b, lb)?;
            if b.len() != out {
                bail!("a bias of {} for {out} outputs", b.len());
            }
            <T as candle_core::WithDType>::to_cpu_storage_owned(forward(part::<T>(x, lx)?, part(w, lw)?, Some(b), (rows, columns, out)))
        });
        Ok((y, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) = backward(x, w, dy)?;
        Ok((Some(dx), Some(dw), Some(db)))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear without bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns, out, shape) = shapes(lx, lw)?;
        let y = by_type!(x_dtype(x), T => <T as candle_core::WithDType>::to_cpu_storage_owned(forward(part::<T>(x, lx)?, part(w, lw)?, None, (rows, columns, out))));
        Ok((y, shape))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = backward(x, w, dy)?;
        Ok((Some(dx), Some(dw)))
    }
}

fn x_dtype(x: &CpuStorage) -> candle_core::DType {
    candle_core::backend::BackendStorage::dtype(x)
}
