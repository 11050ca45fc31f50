//! The allocator of the program: the system's, counting what is in use.
//!
//! A train step allocates gigabytes and frees them again. Left alone, the C library returns each large block to the
//! kernel and faults it in afresh the next time, which costs a third of the step; and since memory of earlier cells
//! may stay resident, the resident size of the process is not that of a cell. So blocks are kept for reuse, and the
//! bytes in use are counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static IN_USE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting. A program installs it with `#[global_allocator]`.
pub struct CountingAllocator;

impl CountingAllocator {
    fn add(bytes: usize) {
        let now = IN_USE.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        PEAK.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator with its arguments unchanged, so its guarantees hold;
// counting touches two integers of its own and cannot fail.
#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::add(size);
        IN_USE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Keeps freed blocks in the process for the next step. To be called once, before threads start.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two integers and changes settings of the C library's allocator; it is called before
        // other threads exist.
        #[expect(unsafe_code, reason = "a setting of the C library")]
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_TOP_PAD, 64 << 20);
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// Bytes in use now; `None` if the program does not count.
pub(super) fn in_use() -> Option<u64> {
    Some(IN_USE.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
}

/// The most bytes in use since the last reset.
pub(super) fn peak() -> u64 {
    PEAK.load(Ordering::Relaxed)
}

/// Starts a new maximum.
pub(super) fn reset_peak() {
    PEAK.store(IN_USE.load(Ordering::Relaxed), Ordering::Relaxed);
}
