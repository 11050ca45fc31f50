//! Opening a GPU.

use std::cell::RefCell;
use std::collections::HashSet;

use candle_core::Device;
use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::driver::sys;

use super::error::{CudaError, KERNELS_NEED, runs};

/// Opens a GPU by its ordinal, and loads CUDA's libraries first where that has not been done: no other place opens one.
///
/// # Errors
/// If a library is missing or of another version, or the driver cannot open the GPU.
pub fn open_cuda(ordinal: usize) -> Result<Device, CudaError> {
    load_cuda()?;
    let failed = |error: &dyn std::fmt::Display| CudaError::Device(error.to_string());
    let device = Device::new_cuda(ordinal).map_err(|error| failed(&error))?;
    let cuda = device.as_cuda_device().map_err(|error| failed(&error))?;
    let (stream, attribute) = (cuda.cuda_stream(), |which| cuda.cuda_stream().context().attribute(which));
    let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    if let (Ok(major), Ok(minor)) = (major, minor)
        && !runs(KERNELS_NEED, (major, minor))
    {
        let gpu = stream.context().name().unwrap_or_else(|_| format!("GPU {ordinal}"));
        return Err(CudaError::Capability { gpu, capability: format!("{major}.{minor}") });
    }
    OPENED.with_borrow_mut(|opened| opened.insert(cuda.id()));
    Ok(device)
}

thread_local! {
    /// The GPUs that this thread has opened.
    static OPENED: RefCell<HashSet<DeviceId>> = RefCell::default();
}

/// Whether this thread opened a GPU. No events order the work of two threads, so only one may have any.
pub(super) fn opened_by_this_thread(gpu: DeviceId) -> bool {
    OPENED.with_borrow(|opened| opened.contains(&gpu))
}

/// Loads CUDA's libraries; elsewhere than on Linux the program is linked to them.
///
/// # Errors
/// If one is missing or of another version.
pub fn load_cuda() -> Result<(), CudaError> {
    #[cfg(late_binding)]
    super::late_binding::bind()?;
    Ok(())
}
