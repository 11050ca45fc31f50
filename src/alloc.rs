//! The allocator of the program. Each block that is `unsafe` says why it is sound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

    /// What a list has outgrown goes back to the system at once: kept blocks of all its sizes would double it.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is above zero and, rounded up to the alignment, no overflow.
        let grown = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !grown.is_null() {
            IN_USE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
            // SAFETY: both blocks hold the smaller of the two sizes and are apart; the old one was allocated by the
            // system under this layout, and nobody uses it any more.
            unsafe {
                grown.copy_from_nonoverlapping(block, layout.size().min(new_size));
                System.dealloc(block, large(layout).unwrap_or(layout));
            }
        }
        grown
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list does that grows from `from` bytes to `to`: whether its bytes came along, and whether the block that it
    /// outgrew was kept.
    #[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
    fn grown(from: usize, to: usize) -> (bool, bool) {
        let (old, new) = (Layout::from_size_align(from, 8), Layout::from_size_align(to, 8));
        let (old, new) = (old.expect("a layout"), new.expect("a layout"));
        // SAFETY: each block is written within its size, and given back under the layout of its last allocation.
        unsafe {
            let block = CountingAllocator.alloc(old);
            block.write_bytes(7, from);
            let block = CountingAllocator.realloc(block, old, to);
            let same = (0..from.min(to)).all(|i| *block.add(i) == 7);
            let kept = KEPT.take(from);
            CountingAllocator.dealloc(block, new);
            release_kept();
            (same, kept.is_some())
        }
    }

    #[test]
    fn a_block_that_a_list_outgrows_is_given_back_and_its_bytes_go_along() {
        for (from, to) in [(16, 64), (1000, LARGE), (LARGE + 8, 2 * LARGE), (3 * LARGE, LARGE), (LARGE + 8, 24)] {
            assert_eq!(grown(from, to), (true, false), "{from} to {to}");
        }
        let layout = Layout::from_size_align(LARGE + 16, 8).expect("a layout");
        // SAFETY: the block is given back under its layout.
        #[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
        unsafe {
            let block = CountingAllocator.alloc(layout);
            CountingAllocator.dealloc(block, layout);
        }
        assert!(KEPT.take(LARGE + 16).is_some(), "what is freed whole is kept for the next step");
    }
}
