// Sums of columns, in an order that does not depend on the run.

#include "common.cuh"

constexpr int COLUMNS = 32, ROWS = 8;

// The sum of the rows from `first` to `end`, `stride` apart, in the column of this thread. Block (COLUMNS, ROWS).
template <class T>
__device__ void sum_column(const T *x, float *sums, size_t first, size_t end, size_t stride, size_t columns, size_t column) {
  __shared__ float partial[ROWS][COLUMNS];
  float sum = 0.0f;
  if (column < columns)
    for (size_t row = first + threadIdx.y; row < end; row += ROWS) sum += widen(x[row * stride + column]);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < columns) {
    for (int row = 1; row < ROWS; row++) sum += partial[row][threadIdx.x];
    sums[column] = sum;
  }
}

// Block (COLUMNS, ROWS), grid (columns / COLUMNS, parts): the sums of part p of the rows of x (rows, columns) go to row
// p of `sums`.
template <class T> __device__ void column_sums(const T *x, float *sums, size_t rows, size_t columns) {
  size_t part = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * part, end = min(first + part, rows);
  sum_column(x, sums + blockIdx.y * columns, first, end, columns, columns, blockIdx.x * size_t(COLUMNS) + threadIdx.x);
}

// Rows of `columns` numbers, `stride` apart, and the sum of them.
struct Partial {
  const float *rows;
  float *sum;
  size_t n_rows, stride, columns;
};

// Block (COLUMNS, ROWS): the sums of a chunk of COLUMNS columns of many partial sums.
extern "C" __global__ void finish_sums(const Partial *partials, const size_t *first_blocks, size_t tensors,
                                       size_t chunk) {
  Place place = place_of_block(first_blocks, tensors);
  Partial of = partials[place.tensor];
  sum_column(of.rows, of.sum, 0, of.n_rows, of.stride, of.columns, place.chunk * chunk + threadIdx.x);
}

#define COLUMN_SUMS(S, T)                                                                                              \
  extern "C" __global__ void column_sums_##S(const T *x, float *sums, size_t rows, size_t columns) {                   \
    column_sums(x, sums, rows, columns);                                                                               \
  }
FOR_EACH_TYPE(COLUMN_SUMS)
