//! Sums of rows, which are the gradients of biases and gains. Blocks add up some rows each; what is left to add is few
//! numbers a weight, and is done for all weights in one launch, at the end of the backward pass.

use candle_core::{DType, Result, Tensor};

use super::elementwise::cast;
use super::launch::{Argument, Grid, address, device, empty, launch, rows_of, suffix, tensor};
use super::many::launch_over;
use crate::nn::ops::Gradients;

/// Threads of a block of the kernels, and the columns that it adds up.
const BLOCK: (usize, usize) = (32, 8);
const COLUMNS: usize = 128;
/// Rows that a block adds up, and the most parts into which rows are divided.
const ROWS: usize = 64;
const PARTS: usize = 128;

/// A sum that is still to be taken, of some columns of `rows` `(n, stride)` from the `first` on.
#[derive(Debug)]
pub(in crate::nn::ops) struct Partial {
    rows: Tensor,
    first: usize,
    sum: Tensor,
}

impl Partial {
    /// Where the sum will be.
    pub(in crate::nn::ops) fn sum(&self) -> &Tensor {
        &self.sum
    }

    /// `Partial` of the kernel, and how many sums it is.
    fn described(&self) -> Result<([u64; 5], usize)> {
        let ((rows, stride), columns) = (self.rows.dims2()?, self.sum.elem_count());
        let start = address(&self.rows)? + (self.first * DType::F32.size_in_bytes()) as u64;
        Ok(([start, address(&self.sum)?, rows as u64, stride as u64, columns as u64], columns))
    }
}

impl Gradients {
    /// Adds the sum of the rows of dy, whose last axis is as long as x, to the gradient for x.
    pub(super) fn add_column_sums(&mut self, x: &Tensor, dy: &Tensor) -> Result<()> {
        let columns = x.elem_count();
        let rows = dy.elem_count() / columns.max(1);
        let parts = rows.div_ceil(ROWS).clamp(1, PARTS);
        let grid = Grid { blocks: (columns.div_ceil(COLUMNS), parts), threads: BLOCK, shared_bytes: 0 };
        let parts = empty((parts, columns), DType::F32, dy)?;
        let name = format!("column_sums_{}", suffix(dy.dtype())?);
        let (of_dy, stride) = rows_of(dy, columns)?;
        let arguments = [Argument::Address(of_dy), tensor(&parts)?, rows.into(), stride.into(), columns.into()];
        launch(device(dy)?, &name, grid, &arguments)?;
        self.add_row_sums(x, &parts, 0)
    }

    /// Adds the sum of `rows` `(n, stride)` of f32, as many columns from the `first` on as x has elements, to the
    /// gradient for x.
    pub(super) fn add_row_sums(&mut self, x: &Tensor, rows: &Tensor, first: usize) -> Result<()> {
        let sum = empty(x.shape(), DType::F32, rows)?;
        self.partial.push(Partial { rows: rows.clone(), first, sum: sum.clone() });
        if x.dtype() == DType::F32 && self.get(x).is_none() {
            self.set(x.id(), sum);
            return Ok(());
        }
        self.finish_sums()?;
        self.add_tensor(x, cast(&sum, x.dtype())?)
    }

    /// Takes all sums that are still to be taken.
    pub(in crate::nn) fn finish_sums(&mut self) -> Result<()> {
        let partial = std::mem::take(&mut self.partial);
        let Some(first) = partial.first() else { return Ok(()) };
        let described = partial.iter().map(Partial::described).collect::<Result<Vec<_>>>()?;
        launch_over(device(&first.sum)?, "finish_sums", &described, (COLUMNS, BLOCK), &[])
    }
}
