// Who touched each byte last: of the device's memory since the launch began, of shared memory since the block began.
//
// The kernels are compiled with `-fsanitize=thread`, of which only the calls are used that the compiler puts before each
// access to memory: `accesses.cpp` answers them. Two accesses to a byte by different threads are a race if at least one of
// them writes, not both are atomic, and nothing puts them in order. These do:
//
//   __syncthreads()   all threads of a block
//   __syncwarp()      the lanes of a warp
//   a launch          all threads of its grid, and those of the grids before
//
// Shuffles and the matrix units wait for the lanes of a warp, but order no memory (CUDA C++ Programming Guide, "Warp
// Shuffle Functions": they "do not imply a memory barrier"), and lanes do not run in lockstep. Nothing orders blocks.

#pragma once
#include "block.h"
#include "kernels.h"

namespace emulated {

// What the scheduler tells: what begins, and which thread of the block goes on.
void begin_launch(const Kernel &kernel, size_t shared_bytes);
void begin_block();
void begin_epoch();            // all threads of the block have met
void begin_warp(size_t warp);  // all lanes of a warp have met
void begin_thread(size_t thread);

enum class Access { Read, Write, Atomic };

// What the running thread does, at `site` of the program.
void touch(const void *address, size_t bytes, Access access, const void *site);
// It starts a copy to where nobody may look until it has landed.
void begin_flight(const void *to, size_t bytes, const void *site);
void end_flight(const void *to, size_t bytes, const void *site);

// Fails with the kernel, the block and the thread that runs, which does `what` at `site`.
[[noreturn]] void fail_here(const std::string &what, const void *site);

// The variable or the allocation that an address is in.
std::string place_of(const void *address);

// Whether the launch had atomic operations: sums of floats may depend on their order.
bool was_atomic();

// Forgets who touched the device's memory between two offsets, which are whole pages.
void forget(size_t begin, size_t end);

}  // namespace emulated
