//! The one file beside `nn::ops` in which code is `unsafe`: the allocator of the program, and calls into C that no crate
//! offers safely. Each block says why it is sound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::nvmlFieldValue_t;

/// Blocks from this size on are kept.
const LARGE: usize = 1 << 18;
/// No more blocks are kept.
const SLOTS: usize = 4096;
/// Alignment of kept blocks, enough for every vector.
const ALIGN: usize = 64;

static IN_USE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

/// The allocator of the program: the system's, counting what is in use and keeping large blocks for reuse.
///
/// A train step allocates gigabytes and frees them again, the same sizes every time. Left alone, the C library returns
/// each large block to the kernel, which faults it in afresh for the next step: that cost a quarter of the step. And
/// since memory of earlier cells may stay resident, the resident size of the process is not that of a cell; so the
/// bytes in use are counted.
///
/// A program installs it with `#[global_allocator]`.
pub struct CountingAllocator;

/// Freed large blocks with their sizes, behind a spin lock: an allocator cannot use locks that allocate.
struct Kept {
    locked: AtomicBool,
    blocks: UnsafeCell<[(usize, *mut u8); SLOTS]>,
    count: UnsafeCell<usize>,
}

// SAFETY: both cells are touched only between `lock` and `unlock`, by one thread at a time.
#[expect(unsafe_code, reason = "a list shared between threads under its own lock")]
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept {
    locked: AtomicBool::new(false),
    blocks: UnsafeCell::new([(0, std::ptr::null_mut()); SLOTS]),
    count: UnsafeCell::new(0),
};

impl Kept {
    /// Runs `f` on the list and its length, alone.
    fn alone<R>(&self, f: impl FnOnce(&mut [(usize, *mut u8); SLOTS], &mut usize) -> R) -> R {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
        // SAFETY: the flag was false and is now true, so no other thread is between these two lines; `f` neither
        // allocates nor comes back here.
        #[expect(unsafe_code, reason = "the lock above makes the access exclusive")]
        let result = unsafe { f(&mut *self.blocks.get(), &mut *self.count.get()) };
        self.locked.store(false, Ordering::Release);
        result
    }

    /// A kept block of just this size, the newest: its pages are the warmest.
    fn take(&self, size: usize) -> Option<*mut u8> {
        self.alone(|blocks, count| {
            let found = blocks[..*count].iter().rposition(|(s, _)| *s == size)?;
            let block = blocks[found].1;
            *count -= 1;
            blocks.copy_within(found + 1..=*count, found);
            Some(block)
        })
    }

    /// Keeps a block; false if the list is full.
    fn put(&self, size: usize, block: *mut u8) -> bool {
        self.alone(|blocks, count| {
            if *count == SLOTS {
                return false;
            }
            blocks[*count] = (size, block);
            *count += 1;
            true
        })
    }

    /// Takes any kept block out.
    fn pop(&self) -> Option<(usize, *mut u8)> {
        self.alone(|blocks, count| {
            *count = count.checked_sub(1)?;
            Some(blocks[*count])
        })
    }
}

fn add(bytes: usize) {
    let now = IN_USE.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

/// The layout under which a kept block of this size was allocated.
fn large(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() > ALIGN {
        return None;
    }
    Layout::from_size_align(layout.size(), ALIGN).ok()
}

// SAFETY: small requests are passed on to the system's allocator unchanged. A large block is allocated by the system
// with its exact size and an alignment of `ALIGN`, at least what was asked for; when freed it goes into the list, and
// out of it only for a request of the same size, so that it has one owner at a time. It is given back to the system
// under the layout it was allocated with.
#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        match large(layout) {
            // SAFETY: the layout has a size above zero.
            Some(layout) => KEPT.take(layout.size()).unwrap_or_else(|| unsafe { System.alloc(layout) }),
            // SAFETY: the caller's promises are those that the system's allocator asks for.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        let Some(layout) = large(layout) else {
            // SAFETY: as in `alloc`.
            return unsafe { System.alloc_zeroed(layout) };
        };
        match KEPT.take(layout.size()) {
            Some(block) => {
                // SAFETY: the block has `size` bytes and this is its only owner.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            // SAFETY: as in `alloc`.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        match large(layout) {
            Some(layout) => {
                if !KEPT.put(layout.size(), block) {
                    // SAFETY: the block was allocated under this layout.
                    unsafe { System.dealloc(block, layout) }
                }
            }
            // SAFETY: as in `alloc`.
            None => unsafe { System.dealloc(block, layout) },
        }
    }
}

/// Gives the kept blocks back to the system: between models, whose sizes differ.
pub(crate) fn release_kept() {
    while let Some((size, block)) = KEPT.pop() {
        if let Ok(layout) = Layout::from_size_align(size, ALIGN) {
            // SAFETY: the block was allocated under this layout, and the list no longer holds it.
            #[expect(unsafe_code, reason = "freeing blocks of the list")]
            unsafe {
                System.dealloc(block, layout);
            }
        }
    }
}

/// Bytes in use now; `None` if the program does not count.
pub(crate) fn in_use() -> Option<u64> {
    Some(IN_USE.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
}

/// The most bytes in use since the last reset.
pub(crate) fn peak() -> u64 {
    PEAK.load(Ordering::Relaxed)
}

/// Starts a new maximum.
pub(crate) fn reset_peak() {
    PEAK.store(IN_USE.load(Ordering::Relaxed), Ordering::Relaxed);
}

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
