// Sums of columns, in an order that does not depend on the run.

#include "common.cuh"

// A block has (LANES, ROWS) threads, each of which adds up FOUR neighbouring columns.
constexpr int LANES = 32, ROWS = 8, FOUR = 4, COLUMNS = LANES * FOUR;

// The sums of the rows from `first` to `end`, `stride` apart, in COLUMNS columns from `column0` on.
template <class T>
__device__ void sum_rows(const T *x, float *sums, size_t first, size_t end, size_t stride, size_t columns, size_t column0) {
  __shared__ __align__(16) float partial[ROWS][COLUMNS];
  size_t column = column0 + FOUR * threadIdx.x;
  bool whole = column + FOUR <= columns && stride % FOUR == 0 && aligned<FOUR>(x);
  Some<FOUR, float> sum = {};
  for (size_t row = first + threadIdx.y; row < end; row += ROWS) {
    const T *at = x + row * stride + column;
    if (whole) {
      Some<FOUR, T> some = load<FOUR>(at);
      for (int j = 0; j < FOUR; j++) sum.v[j] += widen(some.v[j]);
    } else {
      for (int j = 0; j < FOUR; j++)
        if (column + j < columns) sum.v[j] += widen(at[j]);
    }
  }
  store<FOUR>(&partial[threadIdx.y][FOUR * threadIdx.x], sum);
  __syncthreads();
  int mine = threadIdx.y * LANES + threadIdx.x;
  if (mine >= COLUMNS || column0 + mine >= columns) return;
  float all = 0.0f;
  for (int row = 0; row < ROWS; row++) all += partial[row][mine];
  sums[column0 + mine] = all;
}

// Grid (columns / COLUMNS, parts): the sums of part p of the rows of x (rows, columns), which are `stride` apart, go to row p
// of `sums`.
template <class T> __device__ void column_sums(const T *x, float *sums, size_t rows, size_t stride, size_t columns) {
  size_t part = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * part, end = min(first + part, rows);
  sum_rows(x, sums + blockIdx.y * columns, first, end, stride, columns, blockIdx.x * size_t(COLUMNS));
}

// Rows of `columns` numbers, `stride` apart, and the sum of them.
struct Partial {
  const float *rows;
  float *sum;
  size_t n_rows, stride, columns;
};

// The sums of a chunk of COLUMNS columns of many partial sums.
extern "C" __global__ void finish_sums(const __grid_constant__ Table<Partial> partials, size_t chunk) {
  Place place = partials.place_of_block();
  Partial of = partials.tensors[place.tensor];
  sum_rows(of.rows, of.sum, 0, of.n_rows, of.stride, of.columns, place.chunk * chunk);
}

#define COLUMN_SUMS(S, T)                                                                                              \
  extern "C" __global__ void column_sums_##S(const T *x, float *sums, size_t rows, size_t stride, size_t columns) {    \
    column_sums(x, sums, rows, stride, columns);                                                                       \
  }
FOR_EACH_TYPE(COLUMN_SUMS)
