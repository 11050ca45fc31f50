//! How many sequences fit a device at a time.

use crate::catalog::{AttentionUse, Device, DeviceKind, SoftwareClass, SoftwareSpec};
use crate::model::{Arch, Kernels, MemoryEstimate, Saving, training_memory_with};
use crate::record::{Workload, phase_shape};
use crate::units::{DType, States};

/// Part of the memory that the buffers of exchanges, allocators and workspaces leave to the shards of a layout (judgement).
const OF_LAYOUT: f64 = 0.92;

/// What trains, as far as the memory that it takes goes. Programs of a class differ: graphs of TensorFlow 1, which make norms, GELU and
/// dropout of single additions and products, trained half to a quarter of the batches that stock `PyTorch` would (google-research/bert
/// on a Titan X: 32 sequences of 128 with BERT-base, 6 of 512).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::estimate) struct Program {
    dtype: DType,
    attention: AttentionUse,
    kernels: Kernels,
    /// Bytes reserved for a byte of activations and logits: between them, allocators keep blocks that fit nothing else.
    reserved: f64,
    /// Bytes of a GPU that loaded kernels and the driver's context take.
    context: f64,
    /// Devices, each of which has the whole model.
    devices: u32,
}

impl Program {
    /// What is known of a program, or the one in the middle. With Hugging Face's Trainer and BERT-large on a V100 a sequence of 512
    /// took 2089 MiB in f32, and what is kept of it is 1655; kernels took 1343 MiB ("Model training anatomy" and "Methods and tools
    /// for efficient training on a single GPU", January 2022). Programs made for speed leave no more than 0.5 GB unused: with more,
    /// published micro-batches of NVIDIA's containers on an A10 would not fit. Compilers: between the two (judgement).
    pub(in crate::estimate) fn of(software: SoftwareSpec, dtype: DType, device: Option<&Device>) -> Self {
        let attention = software.likely_attention(device.is_none_or(Device::fuses_attention));
        let (kernels, reserved, context) = match software.class {
            Some(SoftwareClass::Eager) => (Kernels::OneByOne, 1.26, 1.41e9),
            Some(SoftwareClass::Compiled) | None => (Kernels::Compiled, 1.0, 0.9e9),
            Some(SoftwareClass::Optimised) => (Kernels::Fused, 1.0, 0.5e9),
        };
        Self { dtype, attention, kernels, reserved, context, devices: 1 }
    }

    /// This program's own operations, whose activations are those of compiled ones.
    pub(in crate::estimate) fn own(dtype: DType, attention: AttentionUse) -> Self {
        Self { dtype, attention, kernels: Kernels::Compiled, reserved: 1.0, context: 0.5e9, devices: 1 }
    }

    /// On so many devices.
    pub(in crate::estimate) fn on(self, devices: u32) -> Self {
        Self { devices, ..self }
    }

    /// What it keeps out of memory. Programs made for speed have buffers of gradients, and of compiled ones four peaks on an H200 were
    /// those of activations and gradients together; `PyTorch` alone makes gradients anew in each backward pass, unless it adds up
    /// several or exchanges them between devices.
    fn saving(&self, grad_checkpointing: bool, is_accumulated: bool) -> Saving {
        Saving {
            states: States::default(),
            kernels: self.kernels,
            fused_attention: self.attention == AttentionUse::Fused,
            grad_checkpointing,
            keeps_gradients: self.kernels != Kernels::OneByOne || self.devices > 1 || is_accumulated,
        }
    }

    /// Bytes that a step takes of which the parts take `memory`.
    fn bytes(&self, memory: MemoryEstimate) -> u64 {
        let kept = memory.activations.saturating_add(memory.logits) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
        let reserved = (self.reserved * kept) as u64;
        memory.state.saturating_add(memory.gradients).saturating_add(reserved)
    }

    /// Whether `bytes` fit, if the memory of the device is known.
    pub(in crate::estimate) fn fits(&self, bytes: u64, device: &Device) -> Option<bool> {
        let context = if device.kind == DeviceKind::Gpu { self.context } else { 0.0 };
        device.memory.as_ref().map(|memory| bytes as f64 + context <= memory.base())
    }
}

/// Bytes that a step of phase `i` takes with micro-batches of `micro_batch`.
pub(in crate::estimate) fn memory_of(
    workload: &Workload,
    phase: usize,
    arch: Arch,
    program: &Program,
    micro_batch: usize,
) -> u64 {
    let of_phase = &workload.phases[phase];
    let shape = phase_shape(workload, of_phase, micro_batch);
    let is_accumulated = micro_batch < per_device(of_phase.batch_size, program.devices);
    let saving = Saving { states: workload.states(), ..program.saving(workload.grad_checkpointing, is_accumulated) };
    let arch = arch.at_length(shape.seq_len);
    program.bytes(training_memory_with(&workload.model, arch, shape, program.dtype, saving))
}

/// Bytes of `device` that the shards of a layout can use, if its memory is known.
pub(in crate::estimate) fn usable_bytes(device: &Device) -> Option<f64> {
    device.memory.as_ref().map(|memory| OF_LAYOUT * memory.base())
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
    program: &Program,
    (device, devices): (&Device, u32),
) -> usize {
    let share = per_device(workload.phases[phase].batch_size, devices);
    if let Some(accumulation) = workload.grad_accumulation {
        return share.div_ceil(accumulation).max(1);
    }
    let fits = |micro: usize| program.fits(memory_of(workload, phase, arch, program, micro), device) == Some(true);
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
mod facts;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn bert() -> Workload {
        Catalog::default().load("bert-base").expect("in the catalog")
    }

    fn program(dtype: DType) -> Program {
        Program::of("eager/composed".parse().expect("software"), dtype, None)
    }

    #[test]
    fn the_largest_micro_batch_fits_and_twice_as_many_do_not() {
        let (workload, catalog) = (bert(), Catalog::default());
        let device: Device = catalog.load("t4-16gb").expect("in the catalog");
        let program = program(DType::F16);
        for phase in 0..2 {
            let micro = largest_micro_batch(&workload, phase, Arch::Dense, &program, (&device, 1));
            let at = |n| program.fits(memory_of(&workload, phase, Arch::Dense, &program, n), &device);
            assert_eq!((at(micro), at(2 * micro)), (Some(true), Some(false)), "phase {phase}: {micro}");
            assert!(256usize.is_multiple_of(micro), "{micro}");
        }
    }

    #[test]
    fn a_micro_batch_is_never_larger_than_what_a_device_gets() {
        let device: Device = Catalog::default().load("h200").expect("in the catalog");
        assert_eq!(largest_micro_batch(&bert(), 0, Arch::Dense, &program(DType::Bf16), (&device, 64)), 4);
        assert_eq!(per_device(256, 6), 43);
    }

    #[test]
    fn stated_accumulation_decides() {
        let workload = Workload { grad_accumulation: Some(4), ..bert() };
        let device: Device = Catalog::default().load("h200").expect("in the catalog");
        assert_eq!(largest_micro_batch(&workload, 0, Arch::Dense, &program(DType::Bf16), (&device, 8)), 8);
    }
}
