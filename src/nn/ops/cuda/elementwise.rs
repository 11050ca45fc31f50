//! One pass over elements.

use candle_core::{DType, Result, Tensor};

use super::Kernels;
use super::launch::{Grid, address, device, empty, launch, suffix, tensor};
use super::many::{ELEMENTS, launch_over};
use crate::nn::ops::cast::Cast;
use crate::nn::ops::{Activation, Dropout, Gradients};

/// Tensors that share a piece of memory begin at multiples of so many elements: at addresses as good as any to cuBLAS.
const ALIGNED: usize = 128;

impl Activation {
    fn kernel(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::Tanh => "tanh",
        }
    }
}

impl Kernels for Activation {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, n) = (&inputs[0], inputs[0].elem_count());
        let y = empty(x.shape(), x.dtype(), x)?;
        let name = format!("{}_{}", self.kernel(), suffix(x.dtype())?);
        launch(device(x)?, &name, Grid::of_elements(n), &[tensor(x)?, tensor(&y)?, n.into()])?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (x, n) = (&inputs[0], inputs[0].elem_count());
        let dx = empty(x.shape(), x.dtype(), x)?;
        let name = format!("{}_backward_{}", self.kernel(), suffix(x.dtype())?);
        launch(device(x)?, &name, Grid::of_elements(n), &[tensor(x)?, tensor(dy)?, tensor(&dx)?, n.into()])?;
        gradients.add_tensor(x, dx)
    }
}

impl Dropout {
    fn of(self, x: &Tensor) -> Result<Tensor> {
        let n = x.elem_count();
        let y = empty(x.shape(), x.dtype(), x)?;
        let name = format!("dropout_{}", suffix(x.dtype())?);
        launch(device(x)?, &name, Grid::of_elements(n), &[tensor(x)?, tensor(&y)?, n.into(), self.into()])?;
        Ok(y)
    }
}

impl Kernels for Dropout {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        self.of(&inputs[0])
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], self.of(dy)?)
    }
}

impl Kernels for Cast {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        cast(&inputs[0], self.0)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], cast(dy, inputs[0].dtype())?)
    }
}

/// x as `dtype`; itself if that is its type.
pub(super) fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    let n = x.elem_count();
    let y = empty(x.shape(), dtype, x)?;
    let name = format!("cast_{}_{}", suffix(x.dtype())?, suffix(dtype)?);
    launch(device(x)?, &name, Grid::of_elements(n), &[tensor(x)?, tensor(&y)?, n.into()])?;
    Ok(y)
}

/// A weight as `dtype`: its copy, if there is one of that type.
pub(super) fn copy_or_cast(copy: Option<&Tensor>, weight: &Tensor, dtype: DType) -> Result<Tensor> {
    match copy {
        Some(copy) if copy.dtype() == dtype => Ok(copy.clone()),
        _ => cast(weight, dtype),
    }
}

/// Weights of f32 as `dtype`, in one launch and one piece of memory. Those of a linear that is wide have rows of zeros after
/// their own: see [`padded`].
pub(in crate::nn::ops) fn cast_many(tensors: &[&Tensor], dtype: DType) -> Result<Vec<Tensor>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    let shapes: Vec<Vec<usize>> = tensors.iter().map(|x| with_padded_rows(x.dims())).collect();
    let mut end = 0;
    let starts: Vec<usize> = shapes
        .iter()
        .map(|shape| {
            let start = end;
            end += shape.iter().product::<usize>().next_multiple_of(ALIGNED);
            start
        })
        .collect();
    let all = empty(end, dtype, first)?;
    let place = |(shape, start): (&Vec<usize>, &usize)| {
        all.narrow(0, *start, shape.iter().product())?.reshape(shape.as_slice())
    };
    let copies = shapes.iter().zip(&starts).map(place).collect::<Result<Vec<Tensor>>>()?;
    // Zeros to be copied behind weights, as many as any of them needs.
    let missing = |x: &Tensor, y: &Tensor| y.elem_count() - x.elem_count();
    let most = tensors.iter().zip(&copies).map(|(x, y)| missing(x, y)).max().unwrap_or(0);
    let zeros = Tensor::zeros(most.max(1), DType::F32, first.device())?;
    // `Copied` of the kernel.
    let mut described = Vec::with_capacity(tensors.len());
    for (x, y) in tensors.iter().zip(&copies) {
        let (n, rest, at) = (x.elem_count(), missing(x, y), address(y)?);
        described.push(([address(x)?, at, n as u64], n));
        if rest > 0 {
            described.push(([address(&zeros)?, at + (n * dtype.size_in_bytes()) as u64, rest as u64], rest));
        }
    }
    launch_over(device(first)?, &format!("cast_many_{}", suffix(dtype)?), &described, ELEMENTS, &[])?;
    Ok(copies)
}

/// A linear is wide from so many results on, and then it has a multiple of so many.
const WIDE: usize = 1024;
const MULTIPLE: usize = 8;

/// The results that are computed of a linear with `out` of them. cuBLAS's fastest kernels want sides that are multiples of 16
/// bytes: the three products of BERT's 30522 logits, which are not, ran at 230 TFLOP/s on an H200, where its others reach 600
/// and more.
pub(super) fn padded(out: usize) -> usize {
    if out < WIDE { out } else { out.next_multiple_of(MULTIPLE) }
}

/// The shape of a weight `(out, ..)` with as many rows as results are computed.
fn with_padded_rows(shape: &[usize]) -> Vec<usize> {
    match shape {
        [out, rest @ ..] => [&[padded(*out)], rest].concat(),
        [] => Vec::new(),
    }
}

/// `sum += x`. Nobody else may hold `sum`.
pub(in crate::nn::ops) fn add(sum: &Tensor, x: &Tensor) -> Result<()> {
    let n = x.elem_count();
    if sum.elem_count() != n {
        candle_core::bail!("a sum of shapes {:?} and {:?}", sum.dims(), x.dims());
    }
    let name = format!("add_{}_{}", suffix(x.dtype())?, suffix(sum.dtype())?);
    launch(device(x)?, &name, Grid::of_elements(n), &[tensor(x)?, tensor(sum)?, n.into()])
}

/// `(B, rows, n, width)` to `(B, n, rows, width)`: with rows and n exchanged, back again.
pub(super) fn swap_axes(x: &Tensor, rows: usize, n: usize, width: usize) -> Result<Tensor> {
    let elements = x.elem_count();
    let y = empty(elements, x.dtype(), x)?;
    let name = format!("swap_axes_{}", suffix(x.dtype())?);
    let arguments = [tensor(x)?, tensor(&y)?, elements.into(), rows.into(), n.into(), width.into()];
    launch(device(x)?, &name, Grid::of_elements(elements), &arguments)?;
    Ok(y)
}
