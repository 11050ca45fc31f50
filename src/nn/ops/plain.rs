//! Maps, whose gradients need nothing but the gradient for their result, and compositions that keep a graph of their own.

use std::ops::Range;

use candle_core::{D, Device, Result, Shape, Tensor, TensorId, Var};
use rayon::prelude::*;

use super::dropout::Dropout;
use super::gemm::Matrix;
use super::real::{Real, by_type, dispatch, map_positions, slices};
use super::{Gradients, Operation};

/// What a gradient is for.
pub(in crate::nn) trait Place {
    /// Of the tensor.
    fn id(&self) -> TensorId;
    /// Of the tensor.
    fn shape(&self) -> &Shape;
    /// Where it lies.
    fn device(&self) -> &Device;
}

impl Place for Tensor {
    fn id(&self) -> TensorId {
        self.id()
    }

    fn shape(&self) -> &Shape {
        self.shape()
    }

    fn device(&self) -> &Device {
        self.device()
    }
}

/// What is left of a tensor whose values nobody needs for a gradient.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Slot {
    id: TensorId,
    shape: Shape,
    device: Device,
}

impl Slot {
    pub(in crate::nn) fn of(x: &Tensor) -> Self {
        Self { id: x.id(), shape: x.shape().clone(), device: x.device().clone() }
    }
}

impl Place for Slot {
    fn id(&self) -> TensorId {
        self.id
    }

    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// A linear map of its inputs. Since its gradient does not depend on their values, they need not outlive the forward pass.
pub(in crate::nn) trait Map {
    /// The result.
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor>;

    /// Adds the gradients for the inputs, given `dy`, that for the result, which nobody else holds.
    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()>;
}

/// Other strides: the gradient goes back into the shape of the input.
pub(in crate::nn) struct Contiguous;

/// The same elements in another shape.
pub(in crate::nn) struct Reshape(pub(in crate::nn) Vec<usize>);

/// `residual + dropout(x)` of `[x, residual]`.
pub(in crate::nn) struct Add(pub(in crate::nn) Dropout);

/// `share x + (1 - share) y` of `[x, y]`.
pub(in crate::nn) struct Blend(pub(in crate::nn) f64);

/// These columns of `[x]`, as a tensor of their own.
pub(in crate::nn) struct Columns(pub(in crate::nn) Range<usize>);

/// `x W^T + b` of `[x]`, with weights that are not trained: w `(o, i)`, b `(o)`.
pub(in crate::nn) struct Frozen {
    pub(in crate::nn) weight: Tensor,
    pub(in crate::nn) bias: Option<Tensor>,
}

impl Map for Contiguous {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].contiguous()
    }

    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.add_tensor(&inputs[0], dy)
    }
}

impl Map for Reshape {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        inputs[0].reshape(self.0.as_slice())
    }

    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()> {
        let dx = dy.reshape(inputs[0].shape())?;
        // The gradient may be changed in place: nobody else holds it.
        drop(dy);
        gradients.add_tensor(&inputs[0], dx)
    }
}

impl Map for Add {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, residual) = (&inputs[0], &inputs[1]);
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return super::cuda::add_dropped(x, residual, self.0);
        }
        if self.0.p <= 0.0 {
            return x.add(residual);
        }
        by_type!(x.dtype(), T => {
            let mask = self.0.mask::<T>();
            let y = slices::<T, _, _>([x, residual], |[x, r]| map_positions(x, |i, x| r[i] + mask.of(i, x)))?;
            Tensor::from_vec(y, x.shape(), x.device())
        })
    }

    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()> {
        if gradients.wants(&inputs[0]) {
            #[cfg(feature = "cuda")]
            if self.0.p > 0.0 && dy.device().is_cuda() {
                gradients.add_tensor(&inputs[0], self.0.of(&dy)?)?;
                return gradients.add_tensor(&inputs[1], dy);
            }
            if self.0.p > 0.0 {
                by_type!(dy.dtype(), T => {
                    let mask = self.0.mask::<T>();
                    let dx = slices::<T, _, _>([&dy], |[dy]| map_positions(dy, |i, dy| mask.of(i, dy)))?;
                    gradients.add(&inputs[0], dx)?;
                });
            } else {
                gradients.add_tensor(&inputs[0], dy.copy()?)?;
            }
        }
        gradients.add_tensor(&inputs[1], dy)
    }
}

impl Map for Blend {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (x, y) = (&inputs[0], &inputs[1]);
        if !x.device().is_cpu() || x.shape() != y.shape() {
            return super::stock::blend(x, y, self.0);
        }
        by_type!(x.dtype(), T => {
            let (of_x, of_y) = (T::of(self.0), T::of(1.0 - self.0));
            let blended = slices::<T, _, _>([x, y], |[x, y]| map_positions(x, |i, x| of_x * x + of_y * y[i]))?;
            Tensor::from_vec(blended, x.shape(), x.device())
        })
    }

    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()> {
        for (input, share) in inputs.iter().zip([self.0, 1.0 - self.0]) {
            if !dy.device().is_cpu() {
                gradients.add_tensor(input, dy.affine(share, 0.0)?)?;
                continue;
            }
            by_type!(dy.dtype(), T => {
                let share = T::of(share);
                let part = slices::<T, _, _>([&dy], |[dy]| map_positions(dy, |_, dy| share * dy))?;
                gradients.add(input, part)?;
            });
        }
        Ok(())
    }
}

impl Map for Columns {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if inputs[0].device().is_cuda() {
            return super::cuda::take_columns(&inputs[0], self.0.clone());
        }
        inputs[0].narrow(D::Minus1, self.0.start, self.0.len())?.contiguous()
    }

    /// Adds to the same columns of the gradient for x.
    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()> {
        #[cfg(feature = "cuda")]
        if dy.device().is_cuda() {
            return super::cuda::add_columns(&inputs[0], self.0.start, &dy, gradients);
        }
        let (width, Range { start, end }) = (inputs[0].shape.dims().last().copied().unwrap_or(1), self.0.clone());
        by_type!(dy.dtype(), T => slices::<T, _, _>([&dy], |[dy]| gradients.edit::<T>(&inputs[0], |dx| {
            dx.par_chunks_mut(width).zip(dy.par_chunks(end - start)).for_each(|(dx, dy)| add(&mut dx[start..end], dy));
        }))?)
    }
}

fn add<T: Real>(sum: &mut [T], x: &[T]) {
    dispatch(|| sum.iter_mut().zip(x).for_each(|(s, x)| *s += *x));
}

impl Map for Frozen {
    fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let linear = super::Linear { copies: [None, None] };
        let inputs = [&inputs[0], &self.weight].into_iter().chain(&self.bias).cloned().collect::<Vec<_>>();
        Operation::forward(&linear, &inputs)
    }

    /// `dx = dy W`.
    fn backward(&self, inputs: &[Slot], dy: Tensor, gradients: &mut Gradients) -> Result<()> {
        let (out, columns) = self.weight.dims2()?;
        let rows = dy.elem_count() / out.max(1);
        by_type!(dy.dtype(), T => slices::<T, _, _>([&self.weight, &dy], |[w, dy]| {
            gradients.product(&inputs[0], Matrix::new(dy, rows, out), Matrix::new(w, out, columns))
        })?)
    }
}

/// A composition of candle's operations on copies of its inputs, with a graph of its own.
pub(in crate::nn) struct Composed {
    copies: Vec<Var>,
    result: Tensor,
}

impl Composed {
    pub(in crate::nn) fn new(copies: Vec<Var>, result: Tensor) -> Self {
        Self { copies, result }
    }
}

impl Operation for Composed {
    fn forward(&self, _inputs: &[Tensor]) -> Result<Tensor> {
        Ok(self.result.detach())
    }

    fn backward(&self, inputs: &[Tensor], dy: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let store = self.result.mul(dy)?.sum_all()?.backward()?;
        for (input, copy) in inputs.iter().zip(&self.copies) {
            if let Some(gradient) = store.get(copy) {
                gradients.add_tensor(input, gradient.contiguous()?.copy()?)?;
            }
        }
        Ok(())
    }
}
