//! Calls into C that no crate offers safely. Each block that is `unsafe` says why it is sound.

use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::nvmlFieldValue_t;

/// Asks NVML for one field of a device, of a scope that the wrapper does not ask for: its value, or the code of the error.
///
/// # Errors
/// If the driver has no such call, or gives no number.
pub(crate) fn nvml_field(device: &Device<'static>, id: u32, scope: u32) -> Result<f64, String> {
    /// Kinds of values in a field (nvml.h: `nvmlValueType_t`).
    const UNSIGNED_INT: u32 = 1;
    const UNSIGNED_LONG_LONG: u32 = 3;
    let call = device.nvml().lib().nvmlDeviceGetFieldValues.as_ref().map_err(ToString::to_string)?;
    // SAFETY: all bits zero are a value of this C struct, whose fields are integers and a union of numbers.
    #[expect(unsafe_code, reason = "a struct of C")]
    let mut field: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
    field.fieldId = id;
    field.scopeId = scope;
    // SAFETY: the handle is alive as the library is never closed, and one field is passed with the count 1.
    #[expect(unsafe_code, reason = "the wrapper has no call with a scope")]
    let code = unsafe { call(device.handle(), 1, &raw mut field) };
    match (code, field.nvmlReturn, field.valueType) {
        // SAFETY: the driver says that it wrote this member of the union.
        #[expect(unsafe_code, reason = "a union of C")]
        (0, 0, UNSIGNED_INT) => Ok(f64::from(unsafe { field.value.uiVal })),
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "a union of C")]
        (0, 0, UNSIGNED_LONG_LONG) => Ok(unsafe { field.value.ullVal } as f64),
        (0, 0, other) => Err(format!("unexpected kind of value {other}")),
        (0, code, _) | (code, _, _) => Err(format!("NVML error {code}")),
    }
}

/// Seconds since the machine started, by the clock that nobody sets; `None` where the system has none that goes on while it
/// sleeps.
pub(crate) fn since_boot_s() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes one `timespec`, which is alive and ours (clock_gettime(2)).
        #[expect(unsafe_code, reason = "a call of the kernel")]
        let code = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
        (code == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// From here on, what this process's descendants leave behind when they end becomes a child of this process, not of the
/// first process of the system. Whether that is so.
pub(crate) fn adopt_orphans() -> bool {
    #[cfg(target_os = "linux")]
    {
        let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: the call takes numbers alone, and changes nothing but who adopts orphans (prctl(2)).
        #[expect(unsafe_code, reason = "a call of the kernel")]
        let code = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, yes, unused, unused, unused) };
        code == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Takes note of the end of a child that this process has adopted, so that its number is free again. Whether it had ended.
pub(crate) fn reap(pid: u32) -> bool {
    #[cfg(target_os = "linux")]
    {
        let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
        // SAFETY: a null pointer asks for no status, and the call does not wait (waitpid(2)).
        #[expect(unsafe_code, reason = "a call of the kernel")]
        let ended = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        ended == pid && pid > 0
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        false
    }
}

/// Calls of the CUDA driver.
#[cfg(feature = "cuda")]
pub(crate) mod cuda {
    use candle_core::cuda_backend::cudarc::driver::{result, sys};
    use candle_core::cuda_backend::{CudaDevice, WrapErr};

    /// Records no events around each use of a tensor.
    pub(crate) fn without_events(cuda: &CudaDevice) {
        // SAFETY: all work is queued on the one stream that the device has, so its order is the order of uses.
        #[expect(unsafe_code, reason = "the promise of a single stream")]
        unsafe {
            cuda.disable_event_tracking();
        }
    }

    /// Gives memory of the pool that is not in use back to the driver.
    pub(crate) fn trim_pool(cuda: &CudaDevice) -> candle_core::Result<()> {
        let pool = pool(cuda)?;
        // SAFETY: the default pool lives as long as the device.
        #[expect(unsafe_code, reason = "a call of the driver")]
        unsafe { result::mem_pool::trim_to(pool, 0) }.w()
    }

    fn pool(cuda: &CudaDevice) -> candle_core::Result<sys::CUmemoryPool> {
        // SAFETY: the device is open.
        #[expect(unsafe_code, reason = "a call of the driver")]
        unsafe { result::device::get_default_mem_pool(cuda.cuda_stream().context().cu_device()) }.w()
    }

    /// The attributes of a pool that are 64-bit numbers.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum PoolNumber {
        /// Bytes that the pool keeps when the device is synchronised.
        ReleaseThreshold,
        /// Bytes in use.
        Used,
        /// The most bytes that were in use; set to 0 it starts anew.
        MostUsed,
    }

    impl PoolNumber {
        fn attribute(self) -> sys::CUmemPool_attribute {
            match self {
                Self::ReleaseThreshold => sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                Self::Used => sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
                Self::MostUsed => sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
            }
        }
    }

    pub(crate) fn set_pool(cuda: &CudaDevice, number: PoolNumber, mut value: u64) -> candle_core::Result<()> {
        let pool = pool(cuda)?;
        // SAFETY: the attributes of `PoolNumber` are 64-bit numbers, and the default pool lives as long as the device.
        #[expect(unsafe_code, reason = "a call of the driver")]
        unsafe { result::mem_pool::set_attribute(pool, number.attribute(), (&raw mut value).cast()) }.w()
    }

    pub(crate) fn get_pool(cuda: &CudaDevice, number: PoolNumber) -> candle_core::Result<u64> {
        let (pool, mut value) = (pool(cuda)?, 0u64);
        // SAFETY: as in `set_pool`.
        #[expect(unsafe_code, reason = "a call of the driver")]
        unsafe { result::mem_pool::get_attribute(pool, number.attribute(), (&raw mut value).cast()) }.w()?;
        Ok(value)
    }
}
