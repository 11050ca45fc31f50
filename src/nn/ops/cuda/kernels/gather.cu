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

// The same for tables of a few rows, each of which many rows of dy go to: a block adds up its part of them first. Block
// (32, 8), grid (columns / 32, parts).
constexpr int FEW = 4, FEW_COLUMNS = 32, FEW_ROWS = 8;
template <class T>
__device__ void scatter_few(const T *dy, const unsigned *ids, float *sum, size_t rows, size_t d, size_t n) {
  __shared__ float partial[FEW][FEW_ROWS][FEW_COLUMNS];
  size_t column = blockIdx.x * size_t(FEW_COLUMNS) + threadIdx.x;
  size_t part = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * part, end = min(first + part, rows);
  float sums[FEW] = {};
  if (column < d)
    for (size_t row = first + threadIdx.y; row < end; row += FEW_ROWS) {
      float x = widen(dy[row * d + column]);
      for (unsigned id = 0; id < FEW; id++) sums[id] += ids[row] == id ? x : 0.0f;
    }
  for (int id = 0; id < FEW; id++) partial[id][threadIdx.y][threadIdx.x] = sums[id];
  __syncthreads();
  if (threadIdx.y >= n || threadIdx.y >= FEW || column >= d) return;
  float all = 0.0f;
  for (int row = 0; row < FEW_ROWS; row++) all += partial[threadIdx.y][row][threadIdx.x];
  atomicAdd(sum + threadIdx.y * d + column, all);
}

#define GATHER(S, T)                                                                                                   \
  extern "C" __global__ void gather_##S(const T *table, const unsigned *ids, T *y, size_t rows, size_t d, size_t n,    \
                                        int add) {                                                                     \
    gather(table, ids, y, rows, d, n, add);                                                                            \
  }                                                                                                                    \
  extern "C" __global__ void scatter_##S(const T *dy, const unsigned *ids, float *sum, size_t rows, size_t d,          \
                                         size_t n) {                                                                   \
    scatter(dy, ids, sum, rows, d, n);                                                                                 \
  }                                                                                                                    \
  extern "C" __global__ void scatter_few_##S(const T *dy, const unsigned *ids, float *sum, size_t rows, size_t d,      \
                                             size_t n) {                                                               \
    scatter_few(dy, ids, sum, rows, d, n);                                                                             \
  }
FOR_EACH_TYPE(GATHER)
