//! Gradients as they come in: the first is moved in, later ones are added in place.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, TensorId, bail};
use rayon::prelude::*;

use super::gemm::{Matrix, Threads, new_product, product};
use super::plain::Place;
use super::real::{Real, dispatch};

/// Elements that one task adds.
const CHUNK: usize = 1 << 15;

/// Gradients of a backward pass, by the tensor they are for.
#[derive(Debug, Default)]
pub struct Gradients {
    of: HashMap<TensorId, Tensor>,
    /// Weights that are not trained, and what depends on them alone.
    frozen: HashSet<TensorId>,
    /// The gradient for the result where that is 1.
    one: Option<TensorId>,
    /// What a GPU has yet to add up.
    #[cfg(feature = "cuda")]
    pub(super) partial: Vec<super::cuda::Partial>,
}

impl Gradients {
    /// None yet, and none wanted for what is `frozen`.
    pub(in crate::nn) fn but_of(frozen: HashSet<TensorId>) -> Self {
        Self { frozen, ..Self::default() }
    }

    /// Begins a backward pass with the gradient 1 for its result.
    pub(in crate::nn) fn begin(&mut self, result: &Tensor) -> Result<()> {
        let one = result.ones_like()?;
        self.one = Some(one.id());
        self.set(result.id(), one);
        Ok(())
    }

    /// Whether this is the gradient that a backward pass began with, which is 1.
    pub(super) fn is_one(&self, gradient: &Tensor) -> bool {
        self.one == Some(gradient.id())
    }

    /// Wants none for `x`.
    #[cfg(feature = "cuda")]
    pub(super) fn freeze(&mut self, x: &Tensor) {
        self.frozen.insert(x.id());
    }

    /// Whether anybody will ask for the gradient for `x`: operations need not compute others.
    pub(super) fn wants(&self, x: &impl Place) -> bool {
        !self.frozen.contains(&x.id())
    }

    /// The gradient for `x`, with its shape; `None` if the result did not depend on it.
    #[must_use]
    pub fn get(&self, x: &Tensor) -> Option<&Tensor> {
        self.of.get(&x.id())
    }

    /// The sum of the squares of the gradient for `x`: the same however many threads add it up.
    pub(in crate::nn) fn sum_of_squares(&self, x: &Tensor) -> Result<Option<f64>> {
        let Some(gradient) = self.get(x) else { return Ok(None) };
        let gradient = gradient.contiguous()?;
        if let (Storage::Cpu(CpuStorage::F32(values)), layout) = (&*gradient.storage_and_layout().0, gradient.layout())
        {
            let (start, end) = layout.contiguous_offsets().unwrap_or_default();
            let part = |part: &[f32]| part.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
            let parts: Vec<f64> = values[start..end].par_chunks(CHUNK).map(part).collect();
            return Ok(Some(parts.iter().sum()));
        }
        gradient.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar().map(Some)
    }

    /// Multiplies the gradient for `x`.
    pub(in crate::nn) fn scale(&mut self, x: &Tensor, factor: f64) -> Result<()> {
        if let Some(gradient) = self.of.get_mut(&x.id()) {
            *gradient = (&*gradient * factor)?;
        }
        Ok(())
    }

    /// Takes the gradient for the tensor of this id out.
    pub(in crate::nn) fn take(&mut self, x: TensorId) -> Option<Tensor> {
        self.of.remove(&x)
    }

    /// Sets the gradient for `x`. Later ones are added in place, so nobody else may hold its storage.
    pub(in crate::nn) fn set(&mut self, x: TensorId, gradient: Tensor) {
        self.of.insert(x, gradient);
    }

    /// Adds `gradient`, which nobody else holds, to that for `x`.
    pub(in crate::nn) fn add_tensor(&mut self, x: &impl Place, gradient: Tensor) -> Result<()> {
        if !self.wants(x) {
            return Ok(());
        }
        #[cfg(feature = "cuda")]
        if let Some(sum) = self.of.get(&x.id())
            && self.partial.iter().any(|p| p.sum().id() == sum.id())
        {
            self.finish_sums()?;
        }
        match self.of.get_mut(&x.id()) {
            #[cfg(feature = "cuda")]
            Some(sum) if sum.device().is_cuda() => super::cuda::add(sum, &gradient)?,
            Some(sum) => *sum = sum.add(&gradient)?,
            None => self.set(x.id(), gradient),
        }
        Ok(())
    }

    /// Adds `gradient` to that for `x`.
    pub(super) fn add<T: Real>(&mut self, x: &impl Place, gradient: Vec<T>) -> Result<()> {
        if !self.wants(x) {
            return Ok(());
        }
        let Some(sum) = self.of.get(&x.id()) else {
            self.set(x.id(), Tensor::from_vec(gradient, x.shape(), x.device())?);
            return Ok(());
        };
        edit::<T>(sum, |sum| {
            sum.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).for_each(|(sum, gradient)| {
                dispatch(|| sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += *g));
            });
        })
    }

    /// Adds the product `a b * scale` to the gradient for `x`, which has as many elements.
    pub(super) fn product<T: Real>(&mut self, x: &impl Place, a: Matrix<'_, T>, b: Matrix<'_, T>) -> Result<()> {
        match self.of.get(&x.id()) {
            _ if !self.wants(x) => Ok(()),
            Some(sum) => edit::<T>(sum, |sum| product(sum, a, b, 1.0, true, Threads::All)),
            None => self.add(x, new_product(a, b, Threads::All)),
        }
    }

    /// The gradient for `x`, to be added to in place: zeros if there is none yet.
    #[cfg(feature = "cuda")]
    pub(super) fn sum_of(&mut self, x: &impl Place, dtype: DType) -> Result<Tensor> {
        if let Some(sum) = self.of.get(&x.id()) {
            return Ok(sum.clone());
        }
        let zeros = Tensor::zeros(x.shape(), dtype, x.device())?;
        self.set(x.id(), zeros.clone());
        Ok(zeros)
    }

    /// Changes the gradient for `x`, from zeros if there is none yet.
    pub(super) fn edit<T: Real>(&mut self, x: &impl Place, change: impl FnOnce(&mut [T])) -> Result<()> {
        if !self.wants(x) {
            return Ok(());
        }
        if !self.of.contains_key(&x.id()) {
            self.add(x, vec![T::zero(); x.shape().elem_count()])?;
        }
        edit(&self.of[&x.id()], change)
    }
}

/// Changes the elements of a contiguous tensor on the CPU.
fn edit<T: Real>(x: &Tensor, change: impl FnOnce(&mut [T])) -> Result<()> {
    struct Edit<F, T>(Cell<Option<F>>, std::marker::PhantomData<T>);

    impl<T: Real, F: FnOnce(&mut [T])> InplaceOp1 for Edit<F, T> {
        fn name(&self) -> &'static str {
            "edit"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let (Some((start, end)), Some(values)) = (layout.contiguous_offsets(), T::slice_mut(storage)) else {
                bail!("a gradient of another type or that is not contiguous");
            };
            if let Some(change) = self.0.take() {
                change(&mut values[start..end]);
            }
            Ok(())
        }
    }

    x.inplace_op1(&Edit(Cell::new(Some(change)), std::marker::PhantomData))
}
