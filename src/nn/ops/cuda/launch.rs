//! Handing tensors to kernels: the one place that takes addresses of device memory.

use std::collections::HashSet;
use std::sync::LazyLock;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, sys};
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::{DType, Device, Result, Shape, Storage, Tensor, bail};

use super::open::opened_by_this_thread;
use crate::nn::ops::{Dropout, TOO_LARGE};

/// The kernels, as assembly for the kind of GPU that the program was built for.
const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/all.ptx"));
/// Threads of a block, and of a warp.
pub(super) const THREADS: usize = 256;
pub(super) const WARP: usize = 32;
/// Shared memory that a block has on every GPU. Kernels that need more say so before they are launched.
pub(super) const SHARED_BYTES: usize = 48 << 10;
/// Blocks of an element-wise kernel at most; each goes on to further elements.
const BLOCKS: usize = 4096;
/// Blocks that a GPU takes in each dimension (CUDA C++ Programming Guide, table of technical specifications).
const MOST_BLOCKS: (usize, usize) = ((1 << 31) - 1, 65_535);

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
    Sight(Seen),
}

/// `Dropout` of the kernels.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Mask {
    seed: u32,
    surplus: u32,
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

/// `Sight` of the kernels.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Seen {
    /// Address of the first keys of the documents of queries, or 0.
    pub(super) starts: u64,
    pub(super) causal: u32,
    /// Both at most `i32::MAX`.
    pub(super) window: u32,
    pub(super) after: u32,
}

/// `Table` of the kernels, as its words: what they are is the caller's business.
#[repr(C)]
pub(super) struct Table(pub(super) [u64; TABLE_WORDS]);

/// All parameters of a kernel have 4 KiB: a table leaves the others 96 bytes.
pub(super) const TABLE_WORDS: usize = 500;

// SAFETY: plain numbers in C's layout; a kernel takes as many of them as its own table has.
#[expect(unsafe_code, reason = "structures passed to kernels by value")]
unsafe impl DeviceRepr for Table {}
// SAFETY: both are plain numbers in C's layout, as the kernels declare them.
#[expect(unsafe_code, reason = "structures passed to kernels by value")]
unsafe impl DeviceRepr for Mask {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "structures passed to kernels by value")]
unsafe impl DeviceRepr for Rates {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "structures passed to kernels by value")]
unsafe impl DeviceRepr for Seen {}

impl From<Dropout> for Argument {
    fn from(dropout: Dropout) -> Self {
        let (seed, surplus, scale) = dropout.mask::<f32>().parts();
        Self::Dropout(Mask { seed, surplus, scale })
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

/// What a GPU cannot do for its size alone: smaller tensors would fit.
pub(super) fn too_large(what: &str) -> candle_core::Error {
    candle_core::Error::Msg(format!("{TOO_LARGE}: {what}"))
}

/// The GPU on which a tensor lies, for work to be queued on it: by the thread that opened it.
pub(super) fn device(x: &Tensor) -> Result<&CudaDevice> {
    match x.device() {
        Device::Cuda(device) if !opened_by_this_thread(device.id()) => {
            bail!("work for a GPU on another thread than the one that opened it: nothing keeps the two in order")
        }
        Device::Cuda(device) => Ok(device),
        other => bail!("a kernel on a tensor of {:?}", other.location()),
    }
}

/// The address of the first element of a contiguous tensor.
pub(super) fn address(x: &Tensor) -> Result<u64> {
    if !x.is_contiguous() {
        bail!("a kernel needs contiguous tensors");
    }
    first_address(x)
}

/// The address of the first row of a tensor whose last axis is `columns`, and the elements from a row to the next: the rows
/// of a matrix may be longer than it is wide.
pub(super) fn rows_of(x: &Tensor, columns: usize) -> Result<(u64, usize)> {
    match (x.is_contiguous(), x.stride()) {
        (true, _) => Ok((first_address(x)?, columns)),
        (false, [between, 1]) => Ok((first_address(x)?, *between)),
        _ => bail!("a kernel needs rows whose numbers lie side by side"),
    }
}

fn first_address(x: &Tensor) -> Result<u64> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("a kernel on a tensor of another device") };
    let stream = storage.device().cuda_stream();
    let base = match &storage.slice {
        CudaStorageSlice::F32(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::BF16(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::F16(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::U32(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::U8(values) => values.device_ptr(&stream).0,
        _ => bail!("no kernel for {:?}", storage.dtype()),
    };
    Ok(base + (layout.start_offset() * x.dtype().size_in_bytes()) as u64)
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
    launch_with(device, name, grid, None, arguments)
}

/// The same with a table of tensors as the first argument.
pub(super) fn launch_with(
    device: &CudaDevice,
    name: &str,
    grid: Grid,
    table: Option<&Table>,
    arguments: &[Argument],
) -> Result<()> {
    let (x, y) = grid.blocks;
    if x == 0 || y == 0 {
        return Ok(());
    }
    let function = device.get_or_load_custom_func(name, "greenformers", KERNELS)?;
    let mut builder = function.builder();
    if let Some(table) = table {
        builder.arg(table);
    }
    for argument in arguments {
        match argument {
            Argument::Address(address) => builder.arg(address),
            Argument::Size(size) => builder.arg(size),
            Argument::Float(float) => builder.arg(float),
            Argument::Int(int) => builder.arg(int),
            Argument::Dropout(mask) => builder.arg(mask),
            Argument::Rates(rates) => builder.arg(rates),
            Argument::Sight(seen) => builder.arg(seen),
        };
    }
    if x > MOST_BLOCKS.0 || y > MOST_BLOCKS.1 {
        return Err(too_large(&format!("`{name}` would need {x} x {y} blocks")));
    }
    let dim = |n: usize| u32::try_from(n).map_err(|_| too_large(&format!("`{name}` would need {n}")));
    let config = LaunchConfig {
        grid_dim: (dim(x)?, dim(y)?, 1),
        block_dim: (dim(grid.threads.0)?, dim(grid.threads.1)?, 1),
        shared_mem_bytes: dim(grid.shared_bytes)?,
    };
    if grid.shared_bytes > SHARED_BYTES {
        let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(most, config.shared_mem_bytes.cast_signed()).w()?;
    }
    // SAFETY: see above.
    #[expect(unsafe_code, reason = "launching a kernel")]
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}
