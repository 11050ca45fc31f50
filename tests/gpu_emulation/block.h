// CUDA's language for the host compiler: the threads of a block as fibers of one thread, blocks one after the other.
//
// Barriers and shuffles wait for every thread that is still running, so a kernel in which some threads miss a barrier
// stops here with a message. What one thread writes the others see at once: missing barriers between a write and a read
// are found only where the order of threads shows them.

#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#undef __global__
#undef __device__
#undef __shared__
#define __global__
#define __device__
#define __shared__ static

namespace emulated {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

constexpr size_t SHARED_BYTES = 48 << 10;
extern unsigned char shared_memory[SHARED_BYTES];

// Runs `thread` for every thread of every block.
void run(Index grid, Index block, const std::function<void()> &thread);
void wait_for_block();
uint64_t exchange(uint64_t bits, unsigned other_lane);
unsigned lane();

}  // namespace emulated

extern emulated::Index threadIdx, blockIdx, blockDim, gridDim;

using std::max;
using std::min;

inline void __syncthreads() { emulated::wait_for_block(); }

template <class T> T __shfl_xor_sync(unsigned, T x, int lanes, int = 32) {
  uint64_t bits = 0;
  memcpy(&bits, &x, sizeof x);
  bits = emulated::exchange(bits, emulated::lane() ^ lanes);
  memcpy(&x, &bits, sizeof x);
  return x;
}

inline float emulated_expf(float x) { return std::exp(x); }
#define __expf emulated_expf

using std::isnan;
inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
inline float normcdff(float x) { return float(normcdf(x)); }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

template <class T> T atomicAdd(T *sum, T x) {
  T old = *sum;
  *sum += x;
  return old;
}
