//! One launch over the elements of many tensors. What is said of them goes along as a parameter of the kernel: an upload would
//! wait for what the driver has queued, or need memory that nobody may touch until the kernel has run.

use candle_core::Result;
use candle_core::cuda_backend::CudaDevice;

use super::launch::{Argument, Grid, TABLE_WORDS, THREADS, Table, launch_with};

/// Elements that a block of element-wise work has, and its threads.
pub(super) const ELEMENTS: (usize, (usize, usize)) = (1 << 16, (THREADS, 1));

/// Queues a kernel for tensors of so many elements, each of which is described to it in `W` words: once, or as often as their
/// descriptions need. Every block, of `threads`, works on a `chunk` of elements.
pub(super) fn launch_over<const W: usize>(
    device: &CudaDevice,
    name: &str,
    tensors: &[([u64; W], usize)],
    (chunk, threads): (usize, (usize, usize)),
    rest: &[Argument],
) -> Result<()> {
    let arguments = [&[chunk.into()], rest].concat();
    let capacity = (TABLE_WORDS - 1) / (W + 1);
    for tensors in tensors.chunks(capacity) {
        let mut table = [0; TABLE_WORDS];
        let (n, rest) = table.split_at_mut(1);
        let (first_blocks, words) = rest.split_at_mut(capacity);
        n[0] = tensors.len() as u64;
        let mut blocks = 0;
        for (i, (of_tensor, elements)) in tensors.iter().enumerate() {
            first_blocks[i] = blocks as u64;
            words[i * W..(i + 1) * W].copy_from_slice(of_tensor);
            blocks += elements.div_ceil(chunk);
        }
        let grid = Grid { blocks: (blocks, 1), threads, shared_bytes: 0 };
        launch_with(device, name, grid, Some(&Table(table)), &arguments)?;
    }
    Ok(())
}
