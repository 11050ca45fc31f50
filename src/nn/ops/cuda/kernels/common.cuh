// What the kernels share: number types, sums over a warp or a block, and the dropout mask.
//
// Sums, exponentials and normalisers are of f32 whatever the type of the tensors. Every tensor is contiguous.

#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <type_traits>

using bf16 = __nv_bfloat16;
using f16 = __half;

constexpr int WARP = 32;

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bf16 x) { return __bfloat162float(x); }
__device__ inline float widen(f16 x) { return __half2float(x); }

template <class T> __device__ inline T narrow(float x);
template <> __device__ inline float narrow<float>(float x) { return x; }
template <> __device__ inline bf16 narrow<bf16>(float x) { return __float2bfloat16(x); }
template <> __device__ inline f16 narrow<f16>(float x) { return __float2half(x); }

// An `extern "C"` entry for each number type: NAME_f32, NAME_bf16, NAME_f16.
#define FOR_EACH_TYPE(ENTRY) ENTRY(f32, float) ENTRY(bf16, bf16) ENTRY(f16, f16)

__device__ inline float warp_sum(float x) {
  for (int lane = WARP / 2; lane > 0; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

__device__ inline float warp_max(float x) {
  for (int lane = WARP / 2; lane > 0; lane /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}

// The sum over all threads of a block of whole warps, at most 32 of them. `scratch` holds a number a warp.
__device__ inline float block_sum(float x, float *scratch) {
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = x;
  __syncthreads();
  float sum = 0.0f;
  for (int warp = 0; warp < blockDim.x / WARP; warp++) sum += scratch[warp];
  return sum;
}

// The maximum of some numbers and the sum of the exponentials of their distances from it, number by number
// (Milakov and Gimelshein 2018, algorithm 3).
struct Softmax {
  float max = -INFINITY, sum = 0.0f;

  __device__ void add(float x) {
    if (x > max) {
      sum = sum * __expf(max - x) + 1.0f;
      max = x;
    } else if (x > -INFINITY) {
      sum += __expf(x - max);
    }
  }

  // Several at once: one comparison for all.
  template <int N> __device__ void add(const float (&x)[N]) {
    float largest = max;
    for (int j = 0; j < N; j++) largest = fmaxf(largest, x[j]);
    if (largest == -INFINITY) return;
    float some = 0.0f;
    for (int j = 0; j < N; j++) some += __expf(x[j] - largest);
    sum = sum * __expf(max - largest) + some;
    max = largest;
  }

  // Of all lanes of a warp.
  __device__ void over_warp() {
    float largest = warp_max(max);
    sum = warp_sum(max > -INFINITY ? sum * __expf(max - largest) : 0.0f);
    max = largest;
  }

  // Of all threads of a block; `scratch` holds two numbers a warp.
  __device__ void over_block(float *scratch) {
    over_warp();
    __syncthreads();
    int warps = blockDim.x / WARP, warp = threadIdx.x / WARP;
    if (threadIdx.x % WARP == 0) {
      scratch[warp] = max;
      scratch[warps + warp] = sum;
    }
    __syncthreads();
    float largest = -INFINITY, total = 0.0f;
    for (int i = 0; i < warps; i++) largest = fmaxf(largest, scratch[i]);
    for (int i = 0; i < warps; i++)
      if (scratch[i] > -INFINITY) total += scratch[warps + i] * __expf(scratch[i] - largest);
    max = largest;
    sum = total;
  }

  __device__ float weight(float x) const { return __expf(x - max) * (1.0f / sum); }
};

// Which positions survive dropout, by the same hash as on the CPU: forward and backward agree without a stored mask.
//
// A hash decides two positions, by 15 bits each. Of 16 positions from a multiple of 16 on, those 8 apart are a pair; the
// pairs of all positions are numbered in order.
struct Dropout {
  // `surplus` is 2^15 less the threshold, in both halves.
  unsigned seed, surplus;
  float scale;

  // What the number of a pair is multiplied by.
  static constexpr unsigned SCATTER = 0x9e3779b9u;

  // Of a pair, whose number is given times `SCATTER`: bit 15 is set if its first position survives, bit 31 if its second.
  __device__ unsigned survivors(unsigned scattered) const {
    // The same as that of `seed ^ scattered`, with one operation less where the seed is the same for many.
    unsigned h = (seed ^ (seed >> 16) ^ scattered ^ (scattered >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return ((h ^ (h >> 16)) & 0x7fff7fffu) + surplus;
  }

  // Whether anything is dropped.
  __device__ bool drops() const { return surplus != 0x80008000u; }

  // 0, or what a survivor is multiplied by.
  __device__ float factor(size_t position) const {
    unsigned pair = (unsigned(position >> 1) & ~7u) | (unsigned(position) & 7u);
    unsigned both = survivors(pair * SCATTER);
    return (position & 8 ? both >> 16 : both) & 0x8000u ? scale : 0.0f;
  }
};

// Which keys a query sees: its own, `window` with those before it, `after` behind it, and none before the first of its document.
// If `causal`, there are none behind it.
struct Sight {
  // (B, rows), or null.
  const unsigned *starts;
  unsigned causal, window, after;

  // The first key that a query sees; `starts` are those of its sequence.
  __device__ int first(int row, const unsigned *starts) const {
    int first = max(0, row + 1 - int(window));
    return starts ? max(first, int(starts[row])) : first;
  }

  // Those of the sequence of a head.
  __device__ const unsigned *starts_of(unsigned head, size_t heads, size_t rows) const {
    return starts ? starts + head / unsigned(heads) * rows : nullptr;
  }
};

// N elements that are loaded or stored at once.
template <int N, class T> struct alignas(N * sizeof(T)) Some {
  T v[N];
};

template <int N, class T> __device__ inline bool aligned(const T *x) { return size_t(x) % (N * sizeof(T)) == 0; }

template <int N, class T> __device__ inline Some<N, T> load(const T *x) { return *reinterpret_cast<const Some<N, T> *>(x); }

template <int N, class T> __device__ inline void store(T *y, const Some<N, T> &some) {
  *reinterpret_cast<Some<N, T> *>(y) = some;
}

// `y[i] = f(i, x[i]...)`, 16 bytes of the largest type at a time where all pointers allow it.
template <class F, class Y, class... X> __device__ inline void map(size_t n, F f, Y *y, const X *...x) {
  constexpr int N = sizeof(Y) == 4 || ((sizeof(X) == 4) || ...) ? 4 : 8;
  size_t first = blockIdx.x * size_t(blockDim.x) + threadIdx.x, step = gridDim.x * size_t(blockDim.x);
  size_t several = aligned<N>(y) && (aligned<N>(x) && ...) ? n / N : 0;
  for (size_t i = first; i < several; i += step) {
    Some<N, Y> out;
    auto apply = [&](const Some<N, X> &...in) {
      for (int j = 0; j < N; j++) out.v[j] = narrow<Y>(f(N * i + j, widen(in.v[j])...));
    };
    apply(load<N>(x + N * i)...);
    store<N>(y + N * i, out);
  }
  for (size_t i = N * several + first; i < n; i += step) y[i] = narrow<Y>(f(i, widen(x[i])...));
}

// `f(c, N)` for the columns of a row of d that are this lane's, N of them at a time: four if `fours`, else one.
template <class F> __device__ inline void over_columns(size_t d, bool fours, F f) {
  size_t lane = threadIdx.x % WARP;
  if (fours)
    for (size_t c = 4 * lane; c < d; c += 4 * WARP) f(c, std::integral_constant<int, 4>());
  else
    for (size_t c = lane; c < d; c += WARP) f(c, std::integral_constant<int, 1>());
}

// What a block works on in a launch over many tensors: a chunk of one of them.
struct Place {
  size_t tensor, chunk;
};

// What is said of the tensors of a launch, W of each, as a parameter: nothing is uploaded. All parameters of a kernel have
// 4 KiB, on every GPU.
constexpr int TABLE_WORDS = 500;
template <class W> struct Table {
  static constexpr int CAPACITY = (TABLE_WORDS - 1) / (sizeof(W) / 8 + 1);

  size_t n;
  // Tensor i has the blocks from `first_blocks[i]` to `first_blocks[i + 1]`.
  size_t first_blocks[CAPACITY];
  W tensors[CAPACITY];

  // Where this block belongs.
  __device__ Place place_of_block() const {
    size_t low = 0, high = n;
    while (high - low > 1) {
      size_t middle = (low + high) / 2;
      (first_blocks[middle] <= blockIdx.x ? low : high) = middle;
    }
    return {low, blockIdx.x - first_blocks[low]};
  }
};

// `f(i, N)` for the elements of a chunk of a tensor of n, N of them at a time: four if `fours`, else one.
template <class F> __device__ inline void over_chunk(Place place, size_t chunk, size_t n, bool fours, F f) {
  size_t first = place.chunk * chunk, end = min(first + chunk, n);
  size_t rest = fours && first % 4 == 0 ? first + (end - first) / 4 * 4 : first;
  for (size_t i = first + 4 * threadIdx.x; i < rest; i += 4 * blockDim.x) f(i, std::integral_constant<int, 4>());
  for (size_t i = rest + threadIdx.x; i < end; i += blockDim.x) f(i, std::integral_constant<int, 1>());
}
