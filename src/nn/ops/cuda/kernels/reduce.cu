// Sums of columns, in an order that does not depend on the run.

#include "common.cuh"

constexpr int COLUMNS = 32, ROWS = 8;

// Block (COLUMNS, ROWS), grid (columns / COLUMNS, parts): the sums of part p of the rows of x (rows, columns) go to row
// p of `sums`.
template <class T> __device__ void column_sums(const T *x, float *sums, size_t rows, size_t columns) {
  __shared__ float partial[ROWS][COLUMNS];
  size_t column = blockIdx.x * size_t(COLUMNS) + threadIdx.x;
  size_t part = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * part, end = min(first + part, rows);
  float sum = 0.0f;
  if (column < columns)
    for (size_t row = first + threadIdx.y; row < end; row += ROWS) sum += widen(x[row * columns + column]);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < columns) {
    for (int row = 1; row < ROWS; row++) sum += partial[row][threadIdx.x];
    sums[blockIdx.y * columns + column] = sum;
  }
}

#define COLUMN_SUMS(S, T)                                                                                              \
  extern "C" __global__ void column_sums_##S(const T *x, float *sums, size_t rows, size_t columns) {                   \
    column_sums(x, sums, rows, columns);                                                                               \
  }
FOR_EACH_TYPE(COLUMN_SUMS)
