//! Handing tensors to kernels: the one place that takes addresses of device memory.

use std::collections::HashSet;
use std::sync::LazyLock;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::{DType, Device, Result, Shape, Storage, Tensor, bail};

use crate::nn::ops::Dropout;

/// The kernels, as assembly for the kind of GPU that the program was built for.
const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/all.ptx"));
/// Threads of a block, and of a warp.
pub(super) const THREADS: usize = 256;
pub(super) const WARP: usize = 32;
/// Shared memory that a block has on every GPU.
pub(super) const SHARED_BYTES: usize = 48 << 10;
/// Blocks of an element-wise kernel at most; each goes on to further elements.
const BLOCKS: usize = 4096;

/// What a kernel is given, in the order of its parameters.
#[derive(Clone, Copy)]
pub(super) enum Argument {
    /// Address of a tensor; 0 is null.
    Address(u64),
    Size(usize),
    Float(f32),
    Int(i32),
    Dropout(Mask),
    Rates(Rates),
}

/// `Dropout` of the kernels.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Mask {
    seed: u32,
    threshold: u32,
    scale: f32,
}

/// `Rates` of the kernels.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Rates {
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) eps: f32,
    pub(super) keep: f32,
    pub(super) step: f32,
    pub(super) scale_v: f32,
}

// SAFETY: both are plain numbers in C's layout, as the kernels declare them.
#[expect(unsafe_code, reason = "structures passed to kernels by value")]
unsafe impl DeviceRepr for Mask {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "structures passed to kernels by value")]
unsafe impl DeviceRepr for Rates {}

impl From<Dropout> for Argument {
    fn from(dropout: Dropout) -> Self {
        let (seed, threshold, scale) = dropout.mask::<f32>().parts();
        Self::Dropout(Mask { seed, threshold, scale })
    }
}

impl From<usize> for Argument {
    fn from(size: usize) -> Self {
        Self::Size(size)
    }
}

/// Blocks in two dimensions, threads of a block in two, bytes of shared memory.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) blocks: (usize, usize),
    pub(super) threads: (usize, usize),
    pub(super) shared_bytes: usize,
}

impl Grid {
    /// For a loop over `n` elements, four at a time.
    pub(super) fn of_elements(n: usize) -> Self {
        Self::of_blocks(n.div_ceil(4 * THREADS).clamp(1, BLOCKS))
    }

    /// A warp for each of `n` rows.
    pub(super) fn of_warps(n: usize) -> Self {
        Self::of_blocks(n.div_ceil(THREADS / WARP))
    }

    pub(super) fn of_blocks(blocks: usize) -> Self {
        Self { blocks: (blocks, 1), threads: (THREADS, 1), shared_bytes: 0 }
    }
}

/// The ending of the names of kernels for a dtype.
pub(super) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        other => bail!("no kernel for {other:?}"),
    }
}

/// Whether the kind of GPU that the program was built for has a kernel.
pub(super) fn has_kernel(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let entries = KERNELS.split(".entry ").skip(1);
        entries.filter_map(|entry| entry.split_once('(')).map(|(name, _)| name.trim()).collect()
    });
    NAMES.contains(name)
}

/// The GPU on which a tensor lies.
pub(super) fn device(x: &Tensor) -> Result<&CudaDevice> {
    match x.device() {
        Device::Cuda(device) => Ok(device),
        other => bail!("a kernel on a tensor of {:?}", other.location()),
    }
}

/// The address of the first element of a contiguous tensor.
pub(super) fn address(x: &Tensor) -> Result<u64> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("a kernel on a tensor of another device") };
    let Some((start, _)) = layout.contiguous_offsets() else { bail!("a kernel needs contiguous tensors") };
    let stream = storage.device().cuda_stream();
    let base = match &storage.slice {
        CudaStorageSlice::F32(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::BF16(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::F16(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::U32(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::U8(values) => values.device_ptr(&stream).0,
        _ => bail!("no kernel for {:?}", storage.dtype()),
    };
    Ok(base + (start * x.dtype().size_in_bytes()) as u64)
}

/// The address of a tensor as an argument.
pub(super) fn tensor(x: &Tensor) -> Result<Argument> {
    Ok(Argument::Address(address(x)?))
}

/// A tensor that the next kernel writes.
pub(super) fn empty(shape: impl Into<Shape>, dtype: DType, like: &Tensor) -> Result<Tensor> {
    // SAFETY: every caller launches a kernel or a product that writes all of it before anything reads it, in the order
    // of the one stream.
    #[expect(unsafe_code, reason = "zeros that would be overwritten cost memory bandwidth")]
    unsafe {
        Tensor::empty(shape, dtype, like.device())
    }
}

/// Queues a kernel on the stream of the device, after all that was queued before.
///
/// The caller answers for the arguments: they are those that the kernel declares, in order, with the sizes of the
/// tensors, and nothing else holds what the kernel writes. Freed tensors are given back in the order of the stream, so
/// they may go before the kernel has run.
pub(super) fn launch(device: &CudaDevice, name: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
    let (x, y) = grid.blocks;
    if x == 0 || y == 0 {
        return Ok(());
    }
    let function = device.get_or_load_custom_func(name, "greenformers", KERNELS)?;
    let mut builder = function.builder();
    for argument in arguments {
        match argument {
            Argument::Address(address) => builder.arg(address),
            Argument::Size(size) => builder.arg(size),
            Argument::Float(float) => builder.arg(float),
            Argument::Int(int) => builder.arg(int),
            Argument::Dropout(mask) => builder.arg(mask),
            Argument::Rates(rates) => builder.arg(rates),
        };
    }
    let dim = |n: usize| u32::try_from(n).map_err(|_| candle_core::Error::Msg(format!("a grid of {n} blocks")));
    let config = LaunchConfig {
        grid_dim: (dim(x)?, dim(y)?, 1),
        block_dim: (dim(grid.threads.0)?, dim(grid.threads.1)?, 1),
        shared_mem_bytes: dim(grid.shared_bytes)?,
    };
    // SAFETY: see above.
    #[expect(unsafe_code, reason = "launching a kernel")]
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}
