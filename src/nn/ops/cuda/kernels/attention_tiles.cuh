// Tiles of the rows of a head in shared memory, and their products on the matrix units: of bf16, f16, or of f32 rounded to
// TF32.
//
// A word is 32 bits: a number of f32, or two of 16 bits. Factors are held by words, so both kinds of numbers go the same
// ways but where a tile is read down its columns.

#pragma once
#include "matrix_units.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

// Numbers in a word, and in the 16 bytes that are copied and loaded at once.
template <class T> constexpr int WORD = 4 / sizeof(T);
template <class T> constexpr int PIECE = 16 / sizeof(T);
// Rows of a tile.
template <class T> constexpr int TILE = sizeof(T) == 4 ? 32 : 64;
// Columns that a factor A spans.
template <class T> constexpr int SPAN = 2 * PIECE<T>;

// Rows are 16 bytes further apart than they are long: eight of them lie in different banks, and so do the numbers that
// `add_rows` reads at once.
template <class T, int D, int ROWS = TILE<T>> using Tile = T[ROWS][D + PIECE<T>];
// Sums of a warp over 16 rows and the D columns of a head, and 16 such rows as factors A.
template <int D> using Sums = float[D / 8][4];
template <class T, int D> using Rows = unsigned[D / SPAN<T>][4];

__device__ inline int lane() { return threadIdx.x % WARP; }
__device__ inline int row_of_lane() { return lane() / 4; }
__device__ inline int pair_of_lane() { return lane() % 4 * 2; }

__device__ inline unsigned word_of(float x) { return *reinterpret_cast<unsigned *>(&x); }
__device__ inline float number_of_word(unsigned word) { return *reinterpret_cast<float *>(&word); }

// A word as the matrix units want it.
__device__ inline unsigned rounded(unsigned word, float) { return to_tf32(word); }
__device__ inline unsigned rounded(unsigned word, bf16) { return word; }
__device__ inline unsigned rounded(unsigned word, f16) { return word; }

// The head that a block works on, and the first of its rows: a head has blocks of so many rows, the last of them first if
// `backwards`.
struct Block {
  unsigned head;
  int first;

  __device__ Block(size_t rows, int of_block, bool backwards = false) {
    unsigned blocks = (unsigned(rows) + of_block - 1) / of_block, part = blockIdx.x % blocks;
    head = blockIdx.x / blocks;
    first = (backwards ? blocks - 1 - part : part) * of_block;
  }
};

// The rows of one head.
template <class T, int D> struct Head {
  T *first;
  size_t stride;
  int rows;

  __device__ Head(T *x, size_t rows, size_t heads, unsigned head)
      : first(x + (head / unsigned(heads) * rows * heads + head % unsigned(heads)) * D), stride(heads * D),
        rows(int(rows)) {}

  __device__ T *row(int i) const { return first + i * stride; }
};

// Which weights of a head survive dropout: that of a row and a key stands at position (head rows + row) pitch + key, where
// the pitch is the number of keys, rounded up to a multiple of 16.
struct Survivors {
  Dropout dropout;
  // From a row to the next, and of the first row.
  unsigned row, first;

  __device__ Survivors(Dropout dropout, size_t rows, size_t keys, unsigned head)
      : dropout(dropout), row((unsigned(keys) + 15) / 16 * 8 * Dropout::SCATTER), first(head * unsigned(rows) * row) {}

  // What `Dropout::survivors` wants for keys `key` and `key` + 8 of a row; `key` % 16 is below 8.
  __device__ unsigned pair(int i, int key) const {
    return first + i * row + unsigned(key / 16 * 8 + key % 8) * Dropout::SCATTER;
  }
};

// What is added to the products of a key with all queries: the mask over what scales them, or minus infinity where there is
// no such key.
__device__ inline float addend_of(int key, int keys, const float *mask, float inverse_scale) {
  return key >= keys ? -INFINITY : mask ? mask[key] * inverse_scale : 0.0f;
}

// Starts copying the rows from `first` on; rows that are not there are zeros.
template <int THREADS, class T, int D, int ROWS, int M>
__device__ void copy_rows(T (&tile)[ROWS][M], const Head<const T, D> &head, int first) {
  constexpr int PIECES = D / PIECE<T>, AT_ONCE = THREADS / PIECES;
  int row = threadIdx.x / PIECES, column = threadIdx.x % PIECES * PIECE<T>;
  const T *from = head.row(first + row) + column;
#pragma unroll
  for (int i = 0; i < ROWS; i += AT_ONCE) {
    bool there = first + row + i < head.rows;
    copy_16_bytes(&tile[row + i][column], there ? from + i * head.stride : head.first, there);
  }
}

// `f(at, first)` for the tiles of two heads that have rows from `begin` on and before `end`; `begin` is a multiple of their
// height. `tiles[at]` are those from `first` on: the next are copied meanwhile. `copy(at, first)` starts what else goes with
// them.
template <int THREADS, class T, int D, int N, int M, class C, class F>
__device__ void over_tiles(T (&tiles)[2][2][N][M], const Head<const T, D> &left, const Head<const T, D> &right, int begin,
                           int end, C copy, F f) {
  auto copy_all = [&](int at, int first) {
    copy_rows<THREADS>(tiles[at][0], left, first);
    copy_rows<THREADS>(tiles[at][1], right, first);
    copy(at, first);
  };
  if (begin < end) copy_all(0, begin);
  end_of_copies();
  for (int at = 0, first = begin; first < end; first += N, at ^= 1) {
    if (first + N < end) copy_all(at ^ 1, first + N);
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

// 16 rows from `first` on as factors A; rows that are not there are zeros.
template <class T, int D> __device__ void load_rows(unsigned (&rows)[D / SPAN<T>][4], const Head<const T, D> &head, int first) {
#pragma unroll
  for (int step = 0; step < D / SPAN<T>; step++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int row = first + row_of_lane() + i % 2 * 8, column = SPAN<T> * step + lane() % 4 * WORD<T> + i / 2 * PIECE<T>;
      rows[step][i] = row < head.rows ? rounded(*reinterpret_cast<const unsigned *>(head.row(row) + column), T()) : 0;
    }
}

// 16 rows of a tile as factors A.
template <class T, int S, int N, int M> __device__ void load_rows(unsigned (&rows)[S][4], const T (&tile)[N][M], int first) {
#pragma unroll
  for (int step = 0; step < S; step++) {
    load_matrices(rows[step], &tile[first + lane() % 16][SPAN<T> * step + lane() / 16 * PIECE<T>]);
#pragma unroll
    for (int i = 0; i < 4; i++) rows[step][i] = rounded(rows[step][i], T());
  }
}

// c[g] = rows[g] (16 x D) times the transposed rows `first` to `first` + 8 of a tile, for G such factors A.
template <class T, int G, int S, int N, int M>
__device__ void multiply_rows(float (*const (&c)[G])[4], const unsigned (&rows)[G][S][4], const T (&tile)[N][M], int first) {
  static_assert(S * SPAN<T> < M);
#pragma unroll
  for (int step = 0; step < S; step += 2) {
    unsigned b[4];
    load_matrices(b, &tile[first + lane() % 8][SPAN<T> * step + lane() / 8 * PIECE<T>]);
#pragma unroll
    for (int i = 0; i < 4; i++) b[i] = rounded(b[i], T());
#pragma unroll
    for (int g = 0; g < G; g++) {
      // The first product is added to zeros that need no registers.
      if (step == 0)
        multiply(*c[g], rows[g][step], b[0], b[1], {0.0f, 0.0f, 0.0f, 0.0f}, T());
      else
        multiply_add(*c[g], rows[g][step], b[0], b[1], T());
      multiply_add(*c[g], rows[g][step + 1], b[2], b[3], T());
    }
  }
}

// 16 x 16 numbers, which are two neighbouring 16 x 8 products, as a factor A. Register i has, of product i / 2, what stands
// at (row + i % 2 * 8, pair), and the number beside it.
template <class T> struct Factor {
  unsigned a[4];

  Factor() = default;
  __device__ explicit Factor(const float (&w)[2][4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = two(w[i / 2][i % 2 * 2], w[i / 2][i % 2 * 2 + 1], T());
  }

  // Sets to zero what does not survive. `left` and `right` tell it of the left and the right numbers of two registers.
  __device__ void keep(int i, int j, unsigned left, unsigned right) {
    a[i] &= signs(left, right, 0xdd99);
    a[j] &= signs(left, right, 0xffbb);
  }

  // Writes them to shared memory, the upper left one to (first, column).
  template <int N, int M> __device__ void write(T (&rows)[N][M], int first, int column) const {
#pragma unroll
    for (int i = 0; i < 4; i++)
      *reinterpret_cast<unsigned *>(&rows[first + row_of_lane() + i % 2 * 8][column + i / 2 * 8 + pair_of_lane()]) = a[i];
  }

  // Reads the transposed of what stands there.
  template <int N, int M> __device__ void read_transposed(const T (&rows)[N][M], int first, int column) {
    load_transposed(a, &rows[first + lane() % 8 + lane() / 16 * 8][column + lane() / 8 % 2 * 8]);
  }
};

// Of TF32 a register is one number, and two products are two factors: `a[n][i]` is at (row + i % 2 * 8, pair + i / 2).
template <> struct Factor<float> {
  unsigned a[2][4];

  Factor() = default;
  __device__ explicit Factor(const float (&w)[2][4]) {
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) a[n][i] = to_tf32(word_of(w[n][i % 2 * 2 + i / 2]));
  }

  __device__ void keep(int i, int j, unsigned left, unsigned right) {
    a[i / 2][i % 2] &= signs(left, left, 0x9999);
    a[i / 2][i % 2 + 2] &= signs(right, right, 0x9999);
    a[j / 2][j % 2] &= signs(left, left, 0xbbbb);
    a[j / 2][j % 2 + 2] &= signs(right, right, 0xbbbb);
  }

  template <int N, int M> __device__ void write(float (&rows)[N][M], int first, int column) const {
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        store<2>(&rows[first + row_of_lane() + 8 * i][column + 8 * n + pair_of_lane()],
                 {{number_of_word(a[n][i]), number_of_word(a[n][i + 2])}});
  }

  template <int N, int M> __device__ void read_transposed(const float (&rows)[N][M], int first, int column) {
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        a[n][i] = word_of(rows[first + 8 * n + pair_of_lane() + i / 2][column + row_of_lane() + i % 2 * 8]);
  }
};

// sums[g] += factors[g] (16 x 16) times the rows `first` to `first` + 16 of a tile, of which 8 C columns from `column` on.
template <class T, int G, int C, int N, int M>
__device__ void add_rows(float (&sums)[G][C][4], const Factor<T> (&factors)[G], const T (&tile)[N][M], int first,
                         int column = 0) {
#pragma unroll
  for (int n = 0; n < C; n += 2) {
    unsigned b[4];
    load_transposed(b, &tile[first + lane() % 16][column + 8 * n + lane() / 16 * 8]);
#pragma unroll
    for (int g = 0; g < G; g++) {
      multiply_add(sums[g][n], factors[g].a, b[0], b[1], T());
      multiply_add(sums[g][n + 1], factors[g].a, b[2], b[3], T());
    }
  }
}

// A product has its columns 2 i and 2 i + 1 where a factor has i and i + 4: the rows of the tile are taken in that order.
template <int G, int C, int N, int M>
__device__ void add_rows(float (&sums)[G][C][4], const Factor<float> (&factors)[G], const float (&tile)[N][M], int first,
                         int column = 0) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const auto *rows = &tile[first + 8 * half + pair_of_lane()];
#pragma unroll
    for (int n = 0; n < C; n++) {
      int at = column + 8 * n + row_of_lane();
      unsigned b0 = to_tf32(word_of(rows[0][at])), b1 = to_tf32(word_of(rows[1][at]));
#pragma unroll
      for (int g = 0; g < G; g++) multiply_add(sums[g][n], factors[g].a[half], b0, b1, float());
    }
  }
}

// Rows from `first` on and 8 C columns from `column` on; `factor` is that of the rows of a lane.
template <class T, int D, int C>
__device__ void store_rows(const Head<T, D> &head, int first, const float (&sums)[C][4], const float (&factor)[2],
                           int column = 0) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int row = first + row_of_lane() + 8 * half;
    if (row >= head.rows) continue;
    T *to = head.row(row) + column + pair_of_lane();
#pragma unroll
    for (int n = 0; n < C; n++)
      store<2>(to + 8 * n, {{narrow<T>(sums[n][2 * half] * factor[half]), narrow<T>(sums[n][2 * half + 1] * factor[half])}});
  }
}

#endif
