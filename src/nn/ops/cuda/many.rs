//! One launch over the elements of many tensors.

use candle_core::Result;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::DevicePtr;

use super::launch::{Argument, Grid, launch};

/// Elements that a block works on.
const CHUNK: usize = 1 << 16;

/// Queues a kernel for tensors of so many elements, each of which is described to it in `W` words.
pub(super) fn launch_over<const W: usize>(
    device: &CudaDevice,
    name: &str,
    tensors: &[([u64; W], usize)],
    rest: &[Argument],
) -> Result<()> {
    let words: Vec<u64> = tensors.iter().flat_map(|(words, _)| *words).collect();
    // `Place` of the kernels. Little-endian: the tensor in the low half, the chunk in the high one.
    let chunks = |n: usize| (0..n.div_ceil(CHUNK)).map(|chunk| (chunk as u64) << 32);
    let places: Vec<u64> =
        tensors.iter().enumerate().flat_map(|(i, (_, n))| chunks(*n).map(move |chunk| i as u64 | chunk)).collect();
    if places.is_empty() {
        return Ok(());
    }
    let blocks = places.len();
    let (words, places) = (device.clone_htod(&words)?, device.clone_htod(&places)?);
    let stream = device.cuda_stream();
    let tables = [&words, &places].map(|table| Argument::Address(table.device_ptr(&stream).0));
    launch(device, name, Grid::of_blocks(blocks), &[&tables[..], &[CHUNK.into()], rest].concat())
}
