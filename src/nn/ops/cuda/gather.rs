//! Sums of rows of tables.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::elementwise::cast;
use super::launch::{Argument, Grid, device, empty, launch, suffix, tensor};
use crate::nn::ops::{Gather, Gradients};

/// Tables of so few rows have a kernel of their own for their gradients.
const FEW: usize = 4;
/// Threads of a block of that kernel; the first number is its columns.
const FEW_BLOCK: (usize, usize) = (32, 8);
/// Rows that such a block adds up, and the most parts into which rows are divided.
const FEW_ROWS: usize = 128;
const FEW_PARTS: usize = 64;

impl Kernels for Gather {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (rows, d) = self.shapes(inputs)?;
        let y = empty((rows, d), inputs[0].dtype(), &inputs[0])?;
        for (i, (table, ids)) in inputs.iter().zip(&self.ids).enumerate() {
            let name = format!("gather_{}", suffix(table.dtype())?);
            let arguments = [
                tensor(table)?,
                tensor(ids)?,
                tensor(&y)?,
                rows.into(),
                d.into(),
                table.dim(0)?.into(),
                Argument::Int(i32::from(i > 0)),
            ];
            launch(device(table)?, &name, Grid::of_warps(rows), &arguments)?;
        }
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (rows, d) = self.shapes(inputs)?;
        for (table, ids) in inputs.iter().zip(&self.ids) {
            if !gradients.wants(table) {
                continue;
            }
            // Rows are added one by one: into the gradient itself where it is of f32.
            let there = gradients.get(table).filter(|sum| sum.dtype() == DType::F32).cloned();
            let sum = match &there {
                Some(sum) => sum.clone(),
                None => Tensor::zeros(table.shape(), DType::F32, table.device())?,
            };
            let (kernel, grid) = if table.dim(0)? <= FEW {
                let parts = rows.div_ceil(FEW_ROWS).clamp(1, FEW_PARTS);
                let blocks = (d.div_ceil(FEW_BLOCK.0), parts);
                ("scatter_few", Grid { blocks, threads: FEW_BLOCK, shared_bytes: 0 })
            } else {
                ("scatter", Grid::of_warps(rows))
            };
            let name = format!("{kernel}_{}", suffix(dy.dtype())?);
            let arguments = [tensor(dy)?, tensor(ids)?, tensor(&sum)?, rows.into(), d.into(), table.dim(0)?.into()];
            launch(device(dy)?, &name, grid, &arguments)?;
            if there.is_none() {
                gradients.add_tensor(table, cast(&sum, table.dtype())?)?;
            }
        }
        Ok(())
    }
}
