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
    // The first block of each tensor, then the words of each.
    let mut blocks = 0;
    let first_blocks = tensors.iter().map(|(_, n)| {
        let first = blocks;
        blocks += n.div_ceil(chunk);
        first as u64
    });
    let mut table: Vec<u64> = first_blocks.collect();
    table.extend(tensors.iter().flat_map(|(words, _)| words));
    if blocks == 0 {
        return Ok(());
    }
    let table = device.clone_htod(&table)?;
    let first_blocks = table.device_ptr(&device.cuda_stream()).0;
    let words = first_blocks + size_of_val(&first_blocks) as u64 * tensors.len() as u64;
    let tables = [Argument::Address(words), Argument::Address(first_blocks), tensors.len().into(), chunk.into()];
    let grid = Grid { blocks: (blocks, 1), threads, shared_bytes: 0 };
    launch(device, name, grid, &[&tables[..], rest].concat())
}
