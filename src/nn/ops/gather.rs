//! Sums of rows of tables: embeddings, and the positions of a sequence that a head sees.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::real::{Real, by_type, dispatch, slices};
use super::{Gradients, Operation};

/// Rows that one task writes.
const ROWS: usize = 32;

/// Row r of the result is the sum over the tables `(n, d)` of their row `ids[table][r]`.
pub(in crate::nn) struct Gather {
    /// Ids of each table, contiguous, of u32.
    pub(in crate::nn) ids: Vec<Tensor>,
}

impl Gather {
    /// Checks the shapes; rows and width of the result.
    pub(super) fn shapes(&self, inputs: &[Tensor]) -> Result<(usize, usize)> {
        let (rows, d) = (self.ids[0].dim(0)?, inputs[0].dim(1)?);
        for (table, ids) in inputs.iter().zip(&self.ids) {
            let (_, width) = table.dims2()?;
            if width != d || ids.dims() != [rows] {
                bail!("{:?} rows of width {width} beside {rows} of width {d}", ids.dims());
            }
        }
        Ok((rows, d))
    }
}

/// The ids, checked against the number of rows of their table.
fn checked(ids: &Tensor, table: &Tensor) -> Result<Vec<u32>> {
    let (ids, n): (Vec<u32>, _) = (ids.to_vec1()?, table.dim(0)?);
    match ids.iter().find(|id| **id as usize >= n) {
        Some(id) => bail!("row {id} of a table of {n}"),
        None => Ok(ids),
    }
}

impl Operation for Gather {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (rows, d) = self.shapes(inputs)?;
        by_type!(inputs[0].dtype(), T => {
            let mut sum = vec![T::default(); rows * d];
            for (table, ids) in inputs.iter().zip(&self.ids) {
                let ids = checked(ids, table)?;
                slices::<T, _, _>([table], |[table]| {
                    sum.par_chunks_mut(ROWS * d).zip(ids.par_chunks(ROWS)).for_each(|(sum, ids)| {
                        dispatch(|| sum.chunks_exact_mut(d).zip(ids).for_each(|(sum, id)| add(sum, row(table, *id, d))));
                    });
                })?;
            }
            Tensor::from_vec(sum, (rows, d), inputs[0].device())
        })
    }

    /// Adds each row of the gradient to the row of the table that it came from.
    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let d = dy.dim(1)?;
        by_type!(dy.dtype(), T => {
            for (table, ids) in inputs.iter().zip(&self.ids) {
                let ids = checked(ids, table)?;
                slices::<T, _, _>([dy], |[dy]| gradients.edit::<T>(table, |sum| {
                    dispatch(|| dy.chunks_exact(d).zip(&ids).for_each(|(dy, id)| {
                        add(&mut sum[*id as usize * d..][..d], dy);
                    }));
                }))??;
            }
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

fn row<T>(table: &[T], id: u32, d: usize) -> &[T] {
    &table[id as usize * d..][..d]
}

#[inline(always)]
fn add<T: Real>(sum: &mut [T], x: &[T]) {
    sum.iter_mut().zip(x).for_each(|(s, x)| *s += *x);
}
