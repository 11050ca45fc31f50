//! One launch over the elements of many tensors.

use candle_core::Result;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::DevicePtr;

use super::launch::{Argument, Grid, THREADS, launch};

/// Elements that a block of element-wise work has, and its threads.
pub(super) const ELEMENTS: (usize, (usize, usize)) = (1 << 16, (THREADS, 1));

/// Queues a kernel for tensors of so many elements, each of which is described to it in `W` words. Every block, of
/// `threads`, works on a `chunk` of elements.
pub(super) fn launch_over<const W: usize>(
    device: &CudaDevice,
    name: &str,
    tensors: &[([u64; W], usize)],
    (chunk, threads): (usize, (usize, usize)),
    rest: &[Argument],
) -> Result<()> {
    let words: Vec<u64> = tensors.iter().flat_map(|(words, _)| *words).collect();
    // `Place` of the kernels. Little-endian: the tensor in the low half, the chunk in the high one.
    let chunks = |n: usize| (0..n.div_ceil(chunk)).map(|chunk| (chunk as u64) << 32);
    let places: Vec<u64> =
        tensors.iter().enumerate().flat_map(|(i, (_, n))| chunks(*n).map(move |chunk| i as u64 | chunk)).collect();
    if places.is_empty() {
        return Ok(());
    }
    let grid = Grid { blocks: (places.len(), 1), threads, shared_bytes: 0 };
    let (words, places) = (device.clone_htod(&words)?, device.clone_htod(&places)?);
    let stream = device.cuda_stream();
    let tables = [&words, &places].map(|table| Argument::Address(table.device_ptr(&stream).0));
    launch(device, name, grid, &[&tables[..], &[chunk.into()], rest].concat())
}
