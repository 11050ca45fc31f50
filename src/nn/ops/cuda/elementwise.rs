//! One pass over elements.

use std::ops::Range;

use candle_core::{D, DType, Result, Tensor};

use super::Kernels;
use super::launch::{Argument, Grid, address, device, empty, launch, suffix, tensor, too_large};
use super::many::{ELEMENTS, launch_over};
use crate::nn::ops::cast::Cast;
use crate::nn::ops::{Activation, Angles, Dropout, Gate, Gradients, Slot};

/// Tensors that share a piece of memory begin at multiples of so many elements: at addresses as good as any to cuBLAS.
const ALIGNED: usize = 128;

impl Activation {
    fn kernel(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::Tanh => "tanh",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
            Self::Relu => "relu",
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

impl Kernels for Gate {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (gate, up, n) = (&inputs[0], &inputs[1], inputs[0].elem_count());
        let y = empty(gate.shape(), gate.dtype(), gate)?;
        let name = format!("{}_gate_{}", self.0.kernel(), suffix(gate.dtype())?);
        launch(device(gate)?, &name, Grid::of_elements(n), &[tensor(gate)?, tensor(up)?, tensor(&y)?, n.into()])?;
        Ok(y)
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let (gate, up, n) = (&inputs[0], &inputs[1], inputs[0].elem_count());
        let [dgate, dup] = [empty(gate.shape(), gate.dtype(), gate)?, empty(up.shape(), up.dtype(), up)?];
        let name = format!("{}_gate_backward_{}", self.0.kernel(), suffix(gate.dtype())?);
        let arguments = [tensor(gate)?, tensor(up)?, tensor(dy)?, tensor(&dgate)?, tensor(&dup)?, n.into()];
        launch(device(gate)?, &name, Grid::of_elements(n), &arguments)?;
        gradients.add_tensor(gate, dgate)?;
        gradients.add_tensor(up, dup)
    }
}

/// `residual + dropout(x)`.
pub(in crate::nn::ops) fn add_dropped(x: &Tensor, residual: &Tensor, dropout: Dropout) -> Result<Tensor> {
    let n = x.elem_count();
    if residual.dims() != x.dims() {
        candle_core::bail!("a sum of shapes {:?} and {:?}", x.dims(), residual.dims());
    }
    let (x, residual) = (x.contiguous()?, residual.contiguous()?);
    let y = empty(x.shape(), x.dtype(), &x)?;
    let arguments = [tensor(&x)?, tensor(&residual)?, tensor(&y)?, n.into(), dropout.into()];
    launch(device(&x)?, &format!("add_dropped_{}", suffix(x.dtype())?), Grid::of_elements(n), &arguments)?;
    Ok(y)
}

impl Dropout {
    /// x with what is dropped as zeros.
    pub(in crate::nn::ops) fn of(self, x: &Tensor) -> Result<Tensor> {
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

/// These columns of x `(.., d)`.
pub(in crate::nn::ops) fn take_columns(x: &Tensor, columns: Range<usize>) -> Result<Tensor> {
    let (x, stride) = (x.contiguous()?, x.dim(D::Minus1)?);
    if columns.end > stride {
        candle_core::bail!("columns {columns:?} of {stride}");
    }
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(columns.len());
    let y = empty(shape, x.dtype(), &x)?;
    let n = y.elem_count();
    let sizes = [n.into(), columns.len().into(), stride.into(), columns.start.into()];
    let arguments = [&[tensor(&x)?, tensor(&y)?][..], &sizes].concat();
    launch(device(&x)?, &format!("take_columns_{}", suffix(x.dtype())?), Grid::of_elements(n), &arguments)?;
    Ok(y)
}

/// Adds dy `(.., columns)` to the gradient for `x`, in the columns from `first` on.
pub(in crate::nn::ops) fn add_columns(x: &Slot, first: usize, dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
    let (n, columns) = (dy.elem_count(), dy.dim(D::Minus1)?);
    let sum = gradients.sum_of(x, dy.dtype())?;
    let sizes = [n.into(), columns.into(), sum.dim(D::Minus1)?.into(), first.into()];
    let arguments = [&[tensor(dy)?, tensor(&sum)?][..], &sizes].concat();
    launch(device(dy)?, &format!("add_columns_{}", suffix(dy.dtype())?), Grid::of_elements(n), &arguments)
}

/// The heads of x `(.., t, heads d_head)` turned by their positions, or with `back` turned back. Elements that are not turned are
/// copied, eight at a time.
pub(super) fn turn(x: &Tensor, angles: &Angles, back: bool) -> Result<Tensor> {
    let (t, width) = (x.dim(D::Minus2)?, x.dim(D::Minus1)?);
    let [cos, sin] = angles.on_gpu(x.device())?;
    let (pairs, d_head) = (cos.dim(1)?, angles.d_head());
    if !pairs.is_multiple_of(4) || !d_head.is_multiple_of(8) {
        candle_core::bail!("a GPU turns four pairs at a time: of heads of {d_head} it cannot turn {pairs}");
    }
    let y = empty(x.shape(), x.dtype(), x)?;
    let n = x.elem_count() / 8;
    if u32::try_from(n).is_err() {
        return Err(too_large("more than 2^35 elements to be turned by their positions"));
    }
    let by = Argument::Float(if back { -1.0 } else { 1.0 });
    let sizes = [n.into(), t.into(), (width / d_head).into(), d_head.into(), pairs.into(), by];
    let arguments = [&[tensor(x)?, tensor(&cos)?, tensor(&sin)?, tensor(&y)?][..], &sizes].concat();
    launch(device(x)?, &format!("turn_{}", suffix(x.dtype())?), Grid::of_elements(4 * n), &arguments)?;
    Ok(y)
}
