//! Sums of columns.

use candle_core::{DType, Result, Tensor};

use super::launch::{Grid, device, empty, launch, suffix, tensor};

/// Columns and rows of a block of `column_sums`.
const BLOCK: (usize, usize) = (32, 8);
/// Rows that a block adds up, and the most parts into which rows are divided.
const ROWS: usize = 128;
const PARTS: usize = 64;

/// The sum of the rows of a matrix with `columns` columns, `(columns)` of f32.
pub(super) fn column_sums(x: &Tensor, columns: usize) -> Result<Tensor> {
    let rows = x.elem_count() / columns.max(1);
    let parts = parts_of(rows);
    let sums = sums_of_parts(x, rows, columns, parts)?;
    if parts == 1 { sums.reshape(columns) } else { sums_of_parts(&sums, parts, columns, 1)?.reshape(columns) }
}

fn parts_of(rows: usize) -> usize {
    rows.div_ceil(ROWS).clamp(1, PARTS)
}

/// A block for each 32 columns of each part of the rows.
pub(super) fn grid_of_columns(rows: usize, columns: usize) -> Grid {
    Grid { blocks: (columns.div_ceil(BLOCK.0), parts_of(rows)), threads: BLOCK, shared_bytes: 0 }
}

fn sums_of_parts(x: &Tensor, rows: usize, columns: usize, parts: usize) -> Result<Tensor> {
    let sums = empty((parts, columns), DType::F32, x)?;
    let grid = Grid { blocks: (columns.div_ceil(BLOCK.0), parts), threads: BLOCK, shared_bytes: 0 };
    let name = format!("column_sums_{}", suffix(x.dtype())?);
    launch(device(x)?, &name, grid, &[tensor(x)?, tensor(&sums)?, rows.into(), columns.into()])?;
    Ok(sums)
}
