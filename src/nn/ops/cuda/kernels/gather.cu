// Rows of tables (n, d) by their ids. A warp a row of the result. An id that is no row gives NaN: the host cannot look
// without waiting for the device.

#include "common.cuh"

__device__ inline size_t row_of_warp() { return blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP; }

// y[r] = table[ids[r]], or y[r] += it.
template <class T>
__device__ void gather(const T *table, const unsigned *ids, T *y, size_t rows, size_t d, size_t n, int add) {
  size_t row = row_of_warp();
  if (row >= rows) return;
  unsigned id = ids[row];
  for (size_t c = threadIdx.x % WARP; c < d; c += WARP) {
    float x = id < n ? widen(table[id * d + c]) : nanf("");
    y[row * d + c] = narrow<T>(add ? widen(y[row * d + c]) + x : x);
  }
}

// sum[ids[r]] += dy[r]. Rows that share an id are added in any order, so the last bits may differ from run to run.
template <class T>
__device__ void scatter(const T *dy, const unsigned *ids, float *sum, size_t rows, size_t d, size_t n) {
  size_t row = row_of_warp();
  if (row >= rows || ids[row] >= n) return;
  for (size_t c = threadIdx.x % WARP; c < d; c += WARP) atomicAdd(sum + ids[row] * d + c, widen(dy[row * d + c]));
}

#define GATHER(S, T)                                                                                                   \
  extern "C" __global__ void gather_##S(const T *table, const unsigned *ids, T *y, size_t rows, size_t d, size_t n,    \
                                        int add) {                                                                     \
    gather(table, ids, y, rows, d, n, add);                                                                            \
  }                                                                                                                    \
  extern "C" __global__ void scatter_##S(const T *dy, const unsigned *ids, float *sum, size_t rows, size_t d,          \
                                         size_t n) {                                                                   \
    scatter(dy, ids, sum, rows, d, n);                                                                                 \
  }
FOR_EACH_TYPE(GATHER)
