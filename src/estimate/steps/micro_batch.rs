//! How many sequences fit a device at a time.

use super::model::saving;
use crate::catalog::{AttentionUse, Device};
use crate::model::{Arch, training_memory_with};
use crate::record::{Workload, phase_shape};
use crate::units::DType;

/// Part of the memory that allocators and workspaces leave to training (judgement).
const USABLE: f64 = 0.92;

/// Bytes that a step of phase `i` takes with micro-batches of `micro_batch`.
pub(in crate::estimate) fn memory_of(
    workload: &Workload,
    phase: usize,
    arch: Arch,
    (dtype, attention): (DType, AttentionUse),
    micro_batch: usize,
) -> u64 {
    let shape = phase_shape(workload, &workload.phases[phase], micro_batch);
    let saving = saving(attention, workload.grad_checkpointing);
    training_memory_with(&workload.model, arch.at_length(shape.seq_len), shape, dtype, saving).total()
}

/// Bytes of `device` that training can use, if its memory is known.
pub(in crate::estimate) fn usable_bytes(device: &Device) -> Option<f64> {
    device.memory.as_ref().map(|memory| USABLE * memory.base())
}

/// Whether `bytes` fit, if the memory of the device is known.
pub(in crate::estimate) fn fits(bytes: u64, device: &Device) -> Option<bool> {
    usable_bytes(device).map(|usable| bytes as f64 <= usable)
}

/// Sequences on each device in a step of `batch_size`: the device with most sets the pace.
pub(in crate::estimate) fn per_device(batch_size: usize, devices: u32) -> usize {
    batch_size.div_ceil(devices as usize).max(1)
}

/// The largest micro-batch that fits and divides the batch of a device evenly; 1 if nothing fits, or nothing is known
/// of its memory. A stated accumulation decides instead.
pub(in crate::estimate) fn largest_micro_batch(
    workload: &Workload,
    phase: usize,
    arch: Arch,
    of: (DType, AttentionUse),
    (device, devices): (&Device, u32),
) -> usize {
    let share = per_device(workload.phases[phase].batch_size, devices);
    if let Some(accumulation) = workload.grad_accumulation {
        return share.div_ceil(accumulation).max(1);
    }
    let fits = |micro: usize| fits(memory_of(workload, phase, arch, of, micro), device) == Some(true);
    // The memory grows with the micro-batch, so that the largest that fits lies where bisection finds it.
    let (mut low, mut high) = (1, share);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    (1..=low).rev().take_while(|micro| 2 * micro > low).find(|micro| share.is_multiple_of(*micro)).unwrap_or_else(
        || {
            // No even divisor above half: the largest power of two leaves the smallest last micro-batch.
            1 << low.ilog2()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn bert() -> Workload {
        Catalog::default().load("bert-base").expect("in the catalog")
    }

    #[test]
    fn the_largest_micro_batch_fits_and_twice_as_many_do_not() {
        let (workload, catalog) = (bert(), Catalog::default());
        let device: Device = catalog.load("t4-16gb").expect("in the catalog");
        let of = (DType::F16, AttentionUse::Composed);
        for phase in 0..2 {
            let micro = largest_micro_batch(&workload, phase, Arch::Dense, of, (&device, 1));
            let at = |n| fits(memory_of(&workload, phase, Arch::Dense, of, n), &device);
            assert_eq!((at(micro), at(2 * micro)), (Some(true), Some(false)), "phase {phase}: {micro}");
            assert!(256usize.is_multiple_of(micro), "{micro}");
        }
    }

    #[test]
    fn a_micro_batch_is_never_larger_than_what_a_device_gets() {
        let device: Device = Catalog::default().load("h200").expect("in the catalog");
        let of = (DType::Bf16, AttentionUse::Composed);
        assert_eq!(largest_micro_batch(&bert(), 0, Arch::Dense, of, (&device, 64)), 4);
        assert_eq!(per_device(256, 6), 43);
    }

    #[test]
    fn stated_accumulation_decides() {
        let workload = Workload { grad_accumulation: Some(4), ..bert() };
        let device: Device = Catalog::default().load("h200").expect("in the catalog");
        let of = (DType::Bf16, AttentionUse::Composed);
        assert_eq!(largest_micro_batch(&workload, 0, Arch::Dense, of, (&device, 8)), 8);
    }
}
