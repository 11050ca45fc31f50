// CUDA's language for the host compiler: the threads of a block as fibers of one thread, blocks one after the other.
//
// Barriers and shuffles wait for every thread that is still running: a kernel in which some threads miss one, or wait at
// another, stops here with a message. What one thread writes the others see at once; `races.h` tells what they must not
// rely on.

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

#include "copies.h"

#undef __global__
#undef __device__
#undef __shared__
#define __global__
#define __grid_constant__
#define __device__
#define __shared__ static

namespace emulated {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

// What a block may ask for, at the most and without saying so before: that of GPUs of compute capability 8.6 and 8.9, which
// have the least.
constexpr size_t SHARED_BYTES = 99 << 10, UNASKED_SHARED_BYTES = 48 << 10;
extern unsigned char shared_memory[SHARED_BYTES];

struct Kernel;
// Runs a kernel for every thread of every block.
void run(const Kernel &kernel, Index grid, Index block, size_t shared_bytes, void **arguments);
void wait_for_block();
void wait_for_warp(unsigned lanes);
uint64_t exchange(uint64_t bits, unsigned other_lane, unsigned lanes);
unsigned lane();
void require_multiple_of_16(const void *address);
// Tells of an atomic operation that follows.
void touch_atomically(const void *address, size_t bytes);
// What every lane of the warp gives, at most 64 bytes each.
constexpr size_t GIVEN_BYTES = 64;
void give_and_take(const void *mine, size_t bytes, unsigned char (*all)[GIVEN_BYTES]);

template <class T> __attribute__((no_sanitize("thread"))) T add_untold(T *sum, T x) {
  T old = *sum;
  *sum += x;
  return old;
}

}  // namespace emulated

extern emulated::Index threadIdx, blockIdx, blockDim, gridDim;

using std::max;
using std::min;

__forceinline__ void __syncthreads() { emulated::wait_for_block(); }
__forceinline__ void __syncwarp(unsigned lanes = ~0u) { emulated::wait_for_warp(lanes); }

template <class T> __forceinline__ T __shfl_xor_sync(unsigned all, T x, int lanes, int = 32) {
  uint64_t bits = 0;
  memcpy(&bits, &x, sizeof x);
  bits = emulated::exchange(bits, emulated::lane() ^ lanes, all);
  memcpy(&x, &bits, sizeof x);
  return x;
}

// What all lanes of the warp give.
template <class T> struct OfWarp {
  unsigned char bytes[32][emulated::GIVEN_BYTES];

  __forceinline__ explicit OfWarp(const T &mine) { emulated::give_and_take(&mine, sizeof mine, bytes); }
  T operator[](unsigned lane) const {
    T value;
    memcpy(&value, bytes[lane], sizeof value);
    return value;
  }
};

// What `matrix_units.cuh` has in assembly, as it describes it.

inline unsigned to_tf32(unsigned word) {
  unsigned magnitude = word & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) return word;  // infinite, or no number
  return (word & 0x80000000u) | ((magnitude + 0x1000u) & ~0x1fffu);
}

inline float power_of_two(float x) { return std::exp2(x); }

inline unsigned signs(unsigned low, unsigned high, unsigned which) {
  uint64_t bytes = low | uint64_t(high) << 32;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; i++) {
    unsigned digit = which >> 4 * i & 0xf;
    if (digit < 8) abort();  // the byte itself
    if (bytes >> (8 * (digit - 8) + 7) & 1) result |= 0xffu << 8 * i;
  }
  return result;
}

// Number `which` of a register: of two of 16 bits, or TF32, whose last bits nobody looks at.
inline float number_of(unsigned word, unsigned which, __nv_bfloat16) {
  __nv_bfloat16_raw raw;
  raw.x = static_cast<unsigned short>(word >> 16 * which);
  return __bfloat162float(raw);
}

inline float number_of(unsigned word, unsigned which, __half) {
  __half_raw raw;
  raw.x = static_cast<unsigned short>(word >> 16 * which);
  return __half2float(raw);
}

inline float number_of(unsigned word, unsigned, float) {
  float x;
  word &= ~0x1fffu;
  memcpy(&x, &word, sizeof x);
  return x;
}

template <class T>
__forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, const float (&d)[4], T type) {
  struct Factors {
    unsigned a[4], b[2];
  };
  OfWarp<Factors> warp({{a[0], a[1], a[2], a[3]}, {b0, b1}});
  constexpr unsigned NUMBERS = 4 / sizeof(T), HALF = 4 * NUMBERS;
  unsigned lane = emulated::lane();
  for (unsigned i = 0; i < 4; i++) {
    unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float sum = d[i];
    for (unsigned k = 0; k < 2 * HALF; k++) {
      unsigned in_half = k % HALF / NUMBERS;
      unsigned left = warp[row % 8 * 4 + in_half].a[row / 8 + k / HALF * 2], right = warp[column * 4 + in_half].b[k / HALF];
      sum += number_of(left, k % NUMBERS, type) * number_of(right, k % NUMBERS, type);
    }
    c[i] = sum;
  }
}

__forceinline__ void load_matrices(unsigned (&m)[4], const void *row) {
  OfWarp<const unsigned *> rows(static_cast<const unsigned *>(row));
  emulated::require_multiple_of_16(row);
  for (unsigned i = 0; i < 4; i++) m[i] = rows[8 * i + emulated::lane() / 4][emulated::lane() % 4];
}

__forceinline__ void load_transposed(unsigned (&m)[4], const void *row) {
  OfWarp<const unsigned short *> rows(static_cast<const unsigned short *>(row));
  emulated::require_multiple_of_16(row);
  unsigned first = emulated::lane() % 4 * 2, column = emulated::lane() / 4;
  for (unsigned i = 0; i < 4; i++) m[i] = rows[8 * i + first][column] | unsigned(rows[8 * i + first + 1][column]) << 16;
}

__forceinline__ void copy_16_bytes(void *to, const void *from, bool there) { emulated::start_copy(to, from, there); }
__forceinline__ void end_of_copies() { emulated::end_of_group(); }
__forceinline__ void wait_for_all_but_the_last() { emulated::wait_for_groups(1); }

#undef __launch_bounds__
#define __launch_bounds__(...)

inline float emulated_log2f(float x) { return std::log2(x); }
#define __log2f emulated_log2f
inline float emulated_expf(float x) { return std::exp(x); }
#define __expf emulated_expf

using std::isnan;
inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
inline float normcdff(float x) { return float(normcdf(x)); }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

template <class T> __forceinline__ T atomicAdd(T *sum, T x) {
  emulated::touch_atomically(sum, sizeof x);
  return emulated::add_untold(sum, x);
}
