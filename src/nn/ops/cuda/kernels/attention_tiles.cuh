// Tiles of the rows of a head in shared memory, and their products on the matrix units: of bf16, f16, or of f32 rounded to
// TF32.
//
// A word is 32 bits: a number of f32, or two of 16 bits. Factors are held by words, so both kinds of numbers go the same
// ways but for `add_rows`, whose tile is read down its columns.

#pragma once
#include "matrix_units.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

// A block has four warps of 16 rows each, and meets other rows a tile at a time.
constexpr int D_HEAD = 64, WARPS = 4, BLOCK_ROWS = 16 * WARPS;
// Numbers in a word, and in the 16 bytes that are copied and loaded at once.
template <class T> constexpr int WORD = 4 / sizeof(T);
template <class T> constexpr int PIECE = 16 / sizeof(T);
// Rows of a tile: four tiles are what 48 KiB hold.
template <class T> constexpr int TILE = sizeof(T) == 4 ? 32 : 64;
// Columns that a factor spans.
template <class T> constexpr int SPAN = 2 * PIECE<T>;

// Rows are 16 bytes further apart than they are long: eight of them lie in different banks, and so do the numbers that
// `add_rows` reads at once.
template <class T> using Tile = T[TILE<T>][D_HEAD + PIECE<T>];
// Sums of a warp over 16 rows and all columns of a head, and 16 such rows as factors.
using Sums = float[D_HEAD / 8][4];
template <class T> using Rows = unsigned[D_HEAD / SPAN<T>][4];

// The rows of one head.
template <class T> struct Head {
  T *first;
  size_t stride;
  int rows;

  __device__ Head(T *x, size_t rows, size_t heads)
      : first(x + (blockIdx.y / heads * rows * heads + blockIdx.y % heads) * D_HEAD), stride(heads * D_HEAD), rows(int(rows)) {}

  __device__ T *row(int i) const { return first + i * stride; }
};

__device__ inline int lane() { return threadIdx.x % WARP; }
__device__ inline int row_of_lane() { return lane() / 4; }
__device__ inline int pair_of_lane() { return lane() % 4 * 2; }

// Starts copying the rows from `first` on into a tile; rows that are not there are zeros.
template <class T> __device__ void copy_tile(Tile<T> &tile, const Head<const T> &head, int first) {
  constexpr int PIECES = D_HEAD / PIECE<T>;
  for (int i = threadIdx.x; i < TILE<T> * PIECES; i += WARPS * WARP) {
    int row = i / PIECES, column = i % PIECES * PIECE<T>;
    bool there = first + row < head.rows;
    copy_16_bytes(&tile[row][column], head.row(there ? first + row : 0) + column, there);
  }
}

// `f(at, first)` for the tiles of two heads of as many rows, of which `tiles[at]` are those from `first` on: the next are
// copied meanwhile. `copy(at, first)` starts what else goes with them.
template <class T, class C, class F>
__device__ void over_tiles(Tile<T> (&tiles)[2][2], const Head<const T> &left, const Head<const T> &right, C copy, F f) {
  auto copy_all = [&](int at, int first) {
    copy_tile(tiles[at][0], left, first);
    copy_tile(tiles[at][1], right, first);
    copy(at, first);
  };
  copy_all(0, 0);
  end_of_copies();
  for (int at = 0, first = 0; first < left.rows; first += TILE<T>, at ^= 1) {
    if (first + TILE<T> < left.rows) copy_all(at ^ 1, first + TILE<T>);
    end_of_copies();
    wait_for_all_but_the_last();
    __syncthreads();
    f(at, first);
    __syncthreads();
  }
}

struct Nothing {
  __device__ void operator()(int, int) const {}
};

// 16 rows from `first` on as factors; rows that are not there are zeros.
template <class T> __device__ void load_rows(Rows<T> &rows, const Head<const T> &head, int first) {
  for (int step = 0; step < D_HEAD / SPAN<T>; step++)
    for (int i = 0; i < 4; i++) {
      int row = first + row_of_lane() + i % 2 * 8, column = SPAN<T> * step + lane() % 4 * WORD<T> + i / 2 * PIECE<T>;
      rows[step][i] = row < head.rows ? rounded(*reinterpret_cast<const unsigned *>(head.row(row) + column), T()) : 0;
    }
}

// c += rows (16 x 64) times the transposed rows `first` to `first` + 8 of a tile.
template <class T> __device__ void add_scores(float (&c)[4], const Rows<T> &rows, const Tile<T> &tile, int first) {
  for (int step = 0; step < D_HEAD / SPAN<T>; step += 2) {
    unsigned b[4];
    load_matrices(b, &tile[first + lane() % 8][SPAN<T> * step + lane() / 8 * PIECE<T>]);
    multiply_add(c, rows[step], rounded(b[0], T()), rounded(b[1], T()), T());
    multiply_add(c, rows[step + 1], rounded(b[2], T()), rounded(b[3], T()), T());
  }
}

// sums += weights (16 x 16) times the rows `first` to `first` + 16 of a tile. The weights are two 16 x 8 products.
template <class T>
__device__ void add_rows(Sums &sums, const float (&weights)[2][4], const Tile<T> &tile, int first) {
  unsigned a[4];
  for (int i = 0; i < 4; i++) a[i] = two(weights[i / 2][i % 2 * 2], weights[i / 2][i % 2 * 2 + 1], T());
  for (int n = 0; n < D_HEAD / 8; n += 2) {
    unsigned b[4];
    load_transposed(b, &tile[first + lane() % 16][8 * n + lane() / 16 * 8]);
    multiply_add(sums[n], a, b[0], b[1], T());
    multiply_add(sums[n + 1], a, b[2], b[3], T());
  }
}

// A product has its columns 2 i and 2 i + 1 where a factor has i and i + 4: the rows of the tile are taken in that order.
inline __device__ void add_rows(Sums &sums, const float (&weights)[2][4], const Tile<float> &tile, int first) {
  for (int half = 0; half < 2; half++) {
    const float(&w)[4] = weights[half];
    unsigned a[4] = {rounded(w[0]), rounded(w[2]), rounded(w[1]), rounded(w[3])};
    const auto *rows = &tile[first + 8 * half + pair_of_lane()];
    for (int n = 0; n < D_HEAD / 8; n++) {
      int column = 8 * n + row_of_lane();
      multiply_add(sums[n], a, rounded(rows[0][column]), rounded(rows[1][column]), float());
    }
  }
}

template <class T> __device__ void store_rows(const Head<T> &head, int first, const Sums &sums, const float (&factor)[2]) {
  for (int n = 0; n < D_HEAD / 8; n++)
    for (int half = 0; half < 2; half++) {
      int row = first + row_of_lane() + 8 * half;
      Some<2, T> pair = {{narrow<T>(sums[n][2 * half] * factor[half]), narrow<T>(sums[n][2 * half + 1] * factor[half])}};
      if (row < head.rows) store<2>(head.row(row) + 8 * n + pair_of_lane(), pair);
    }
}

#endif
