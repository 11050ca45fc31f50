//! How an NVIDIA GPU is opened, and what its memory pool tells.

use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, result, sys};
use candle_core::cuda_backend::{CudaDevice, WrapErr, set_gemm_reduced_precision_f32};

use super::gpu_facts::GpuFacts;
use crate::ffi::cuda::{self as ffi, PoolNumber};
use crate::nn::{CudaError, open_cuda};
use crate::sensor::CudaIdentity;
use crate::units::DType;

/// Opens a GPU by its ordinal and sets what costs nothing: freed memory stays with the program, no events are recorded
/// around each use of a tensor, and small uploads are kept.
pub(super) fn open(ordinal: usize) -> Result<Device, CudaError> {
    let device = open_cuda(ordinal)?;
    prepare(&device).map_err(|error| CudaError::Device(error.to_string()))?;
    Ok(device)
}

fn prepare(device: &Device) -> candle_core::Result<()> {
    let cuda = device.as_cuda_device()?;
    ffi::without_events(cuda);
    // Otherwise the pool gives all memory back to the driver at every synchronisation, and asks for it again.
    ffi::set_pool(cuda, PoolNumber::ReleaseThreshold, u64::MAX)?;
    // For as long as the program runs: the shapes that candle's kernels are given are sent once, not at every launch.
    std::mem::forget(cuda.enable_cuda_graph_htod_cache());
    Ok(())
}

/// Whether products of f32 use TF32 from here on.
pub(super) fn compute_in(dtype: DType) {
    set_gemm_reduced_precision_f32(dtype == DType::Tf32);
}

/// An event that the GPU passes, and notes the time of, when all that is queued has been computed.
pub(super) fn event(cuda: &CudaDevice) -> candle_core::Result<CudaEvent> {
    cuda.cuda_stream().record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).w()
}

/// Bytes of the GPU that nobody has.
pub(super) fn free_memory() -> candle_core::Result<u64> {
    result::mem_get_info().w().map(|(free, _)| free as u64)
}

/// C's `char`, which has a sign on x86-64 and none on 64-bit ARM.
trait Char {
    fn byte(self) -> u8;
}

impl Char for i8 {
    fn byte(self) -> u8 {
        self.cast_unsigned()
    }
}

impl Char for u8 {
    fn byte(self) -> u8 {
        self
    }
}

/// The UUID of a GPU, without the `GPU-` that NVML puts before it.
fn uuid_text<C: Char>(chars: [C; 16]) -> String {
    let hex = chars.into_iter().fold(String::new(), |hex, c| hex + &format!("{:02x}", c.byte()));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What CUDA says of a GPU.
pub(super) fn facts(cuda: &CudaDevice) -> GpuFacts {
    let stream = cuda.cuda_stream();
    let context = stream.context();
    let uuid = context.uuid().ok().map(|uuid| uuid_text(uuid.bytes));
    let part = |which| context.attribute(which).ok().and_then(|n| u32::try_from(n).ok());
    let domain = part(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID);
    let bus = part(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID);
    let slot = part(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID);
    let pci = domain.zip(bus).zip(slot).map(|((domain, bus), slot)| (domain, bus, slot));
    GpuFacts {
        name: context.name().ok(),
        memory_bytes: context.total_mem().ok().map(|bytes| bytes as u64),
        identity: CudaIdentity { uuid, pci },
    }
}

/// Bytes that tensors use now, and a new maximum from here on.
pub(super) fn mark_memory(cuda: &CudaDevice) -> candle_core::Result<u64> {
    ffi::set_pool(cuda, PoolNumber::MostUsed, 0)?;
    ffi::get_pool(cuda, PoolNumber::Used)
}

/// The most bytes that tensors have used since the last mark.
pub(super) fn peak_memory(cuda: &CudaDevice) -> candle_core::Result<u64> {
    ffi::get_pool(cuda, PoolNumber::MostUsed)
}

/// Gives memory that is not in use back to the driver: between models, whose sizes differ.
pub(super) fn release_unused(cuda: &CudaDevice) -> candle_core::Result<()> {
    ffi::trim_pool(cuda)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_the_same_whether_a_char_has_a_sign_or_not() {
        let bytes = [0x1c, 0xed, 0xca, 0x79, 0x70, 0x26, 0x9b, 0xfd, 0x8d, 0xcf, 0xde, 0xa1, 0x1c, 0x67, 0x57, 0x31];
        let text = "1cedca79-7026-9bfd-8dcf-dea11c675731";
        assert_eq!(uuid_text(bytes), text);
        assert_eq!(uuid_text(bytes.map(u8::cast_signed)), text);
    }
}
