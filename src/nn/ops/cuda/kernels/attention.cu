// Attention of heads of width 64 in 16 bits, in tiles of queries and keys that stay on the chip: no score is written to
// memory (Dao et al. 2022; Dao 2023, algorithms 1 and 2, with a kernel of its own for the gradient of the queries, so that
// no sum depends on the order in which blocks run).
//
// q and y are (B, rows, heads x 64), k and v (B, keys, heads x 64), the mask is (B, keys) of f32 or null, `lse` and `delta`
// are (B, heads, rows) of f32. A block has four warps; blockIdx.y is the head among all of the batch. Dropout is that of
// weight (head, row, key).

#include "matrix_units.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

constexpr int D_HEAD = 64, TILE = 64, WARPS = 4;
// Rows of a tile are 16 bytes further apart than they are long: eight of them lie in different banks.
constexpr int STRIDE = D_HEAD + 8;
// Sums of a warp over 16 rows and all columns of a head, and 16 such rows as a factor.
using Sums = float[D_HEAD / 8][4];
using Rows = unsigned[D_HEAD / 16][4];

template <class T> using Tile = T[TILE][STRIDE];

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
  constexpr int PIECES = D_HEAD * sizeof(T) / 16;
  for (int i = threadIdx.x; i < TILE * PIECES; i += WARPS * WARP) {
    int row = i / PIECES, column = i % PIECES * (16 / sizeof(T));
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
  for (int at = 0, first = 0; first < left.rows; first += TILE, at ^= 1) {
    if (first + TILE < left.rows) copy_all(at ^ 1, first + TILE);
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

// 16 rows from `first` on as a factor; rows that are not there are zeros.
template <class T> __device__ void load_rows(Rows &rows, const Head<const T> &head, int first) {
  for (int step = 0; step < D_HEAD / 16; step++)
    for (int i = 0; i < 4; i++) {
      int row = first + row_of_lane() + i % 2 * 8, column = 16 * step + pair_of_lane() + i / 2 * 8;
      rows[step][i] = row < head.rows ? *reinterpret_cast<const unsigned *>(head.row(row) + column) : 0;
    }
}

// c += rows (16 x 64) times the transposed rows `first` to `first` + 8 of a tile.
template <class T> __device__ void add_scores(float (&c)[4], const Rows &rows, const Tile<T> &tile, int first) {
  for (int step = 0; step < D_HEAD / 16; step += 2) {
    unsigned b[4];
    load_matrices(b, &tile[first + lane() % 8][16 * step + lane() / 8 * 8]);
    multiply_add(c, rows[step], b[0], b[1], T());
    multiply_add(c, rows[step + 1], b[2], b[3], T());
  }
}

// sums += a (16 x 16) times the rows `first` to `first` + 16 of a tile.
template <class T> __device__ void add_rows(Sums &sums, const unsigned (&a)[4], const Tile<T> &tile, int first) {
  for (int n = 0; n < D_HEAD / 8; n += 2) {
    unsigned b[4];
    load_transposed(b, &tile[first + lane() % 16][8 * n + lane() / 16 * 8]);
    multiply_add(sums[n], a, b[0], b[1], T());
    multiply_add(sums[n + 1], a, b[2], b[3], T());
  }
}

// Two neighbouring 16 x 8 products as a factor.
template <class T> __device__ void as_factor(unsigned (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = two(left[0], left[1], T());
  a[1] = two(left[2], left[3], T());
  a[2] = two(right[0], right[1], T());
  a[3] = two(right[2], right[3], T());
}

template <class T> __device__ void store_rows(const Head<T> &head, int first, const Sums &sums, const float (&factor)[2]) {
  for (int n = 0; n < D_HEAD / 8; n++)
    for (int half = 0; half < 2; half++) {
      int row = first + row_of_lane() + 8 * half;
      unsigned both = two(sums[n][2 * half] * factor[half], sums[n][2 * half + 1] * factor[half], T());
      if (row < head.rows) *reinterpret_cast<unsigned *>(head.row(row) + 8 * n + pair_of_lane()) = both;
    }
}

// Of the four lanes that share a row.
__device__ inline float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// What a score becomes, and where its weight stands for dropout.
struct Weights {
  const float *mask;
  float scale;
  size_t first, keys;
  Dropout dropout;

  __device__ Weights(const float *mask, float scale, size_t heads, size_t rows, size_t keys, Dropout dropout)
      : mask(mask ? mask + blockIdx.y / heads * keys : nullptr), scale(scale), first(blockIdx.y * rows * keys), keys(keys),
        dropout(dropout) {}

  __device__ float score(float product, int key) const { return product * scale + (mask ? mask[key] : 0.0f); }
  __device__ float factor(int row, int key) const { return dropout.factor(first + row * keys + key); }
};

// y, and the logarithm of each row's sum of exponentials.
template <class T>
__device__ void attention(const T *q, const T *k, const T *v, const float *mask, T *y, float *lse, size_t heads,
                          size_t rows, size_t keys, float scale, Dropout dropout) {
  __shared__ __align__(16) Tile<T> tiles[2][2];
  const Head<const T> queries(q, rows, heads), all_keys(k, keys, heads), values(v, keys, heads);
  const Weights weights(mask, scale, heads, rows, keys, dropout);
  int first = blockIdx.x * TILE + threadIdx.x / WARP * 16;
  Rows query_rows;
  load_rows(query_rows, queries, first);
  Sums sums = {};
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {};

  over_tiles(tiles, all_keys, values, Nothing(), [&](int at, int key0) {
    float scores[TILE / 8][4] = {}, max[2] = {largest[0], largest[1]};
    for (int n = 0; n < TILE / 8; n++) {
      add_scores(scores[n], query_rows, tiles[at][0], 8 * n);
      for (int i = 0; i < 4; i++) {
        int key = key0 + 8 * n + pair_of_lane() + i % 2;
        scores[n][i] = key < keys ? weights.score(scores[n][i], key) : -INFINITY;
        max[i / 2] = fmaxf(max[i / 2], scores[n][i]);
      }
    }
    for (int half = 0; half < 2; half++) {
      max[half] = row_max(max[half]);
      float shrink = largest[half] > -INFINITY ? __expf(largest[half] - max[half]) : 0.0f;
      total[half] *= shrink;
      for (int n = 0; n < D_HEAD / 8; n++)
        for (int i = 0; i < 2; i++) sums[n][2 * half + i] *= shrink;
      largest[half] = max[half];
    }
    for (int n = 0; n < TILE / 8; n++)
      for (int i = 0; i < 4; i++) {
        int row = first + row_of_lane() + i / 2 * 8, key = key0 + 8 * n + pair_of_lane() + i % 2;
        float weight = scores[n][i] > -INFINITY ? __expf(scores[n][i] - largest[i / 2]) : 0.0f;
        total[i / 2] += weight;
        scores[n][i] = weight * weights.factor(row, key);
      }
    for (int n = 0; n < TILE / 8; n += 2) {
      unsigned factor[4];
      as_factor<T>(factor, scores[n], scores[n + 1]);
      add_rows(sums, factor, tiles[at][1], 8 * n);
    }
  });
  float inverse[2];
  for (int half = 0; half < 2; half++) {
    total[half] = row_sum(total[half]);
    inverse[half] = 1.0f / total[half];
    int row = first + row_of_lane() + 8 * half;
    if (pair_of_lane() == 0 && row < rows) lse[blockIdx.y * rows + row] = largest[half] + __logf(total[half]);
  }
  store_rows(Head<T>(y, rows, heads), first, sums, inverse);
}

// delta = rowsum(dy y) of each head: what softmax takes off the gradient of its weights. A warp a row of a head.
template <class T>
__device__ void attention_delta(const T *y, const T *dy, float *delta, size_t n, size_t heads, size_t rows) {
  size_t i = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP;
  if (i >= n) return;
  float sum = 0.0f;
  for (int column = lane(); column < D_HEAD; column += WARP)
    sum += widen(y[i * D_HEAD + column]) * widen(dy[i * D_HEAD + column]);
  sum = warp_sum(sum);
  size_t head = i % heads, row = i / heads % rows, sequence = i / heads / rows;
  if (lane() == 0) delta[(sequence * heads + head) * rows + row] = sum;
}

// Gradients of keys and values: with P the weights, M the mask of dropout, dA = dy V^T and dS = P (M dA - delta),
// dV = (M P)^T dy and dK = scale dS^T Q. A warp has 16 keys and meets the queries 16 at a time.
template <class T>
__device__ void attention_backward_keys(const T *q, const T *k, const T *v, const T *dy, const float *mask,
                                        const float *lse, const float *delta, T *dk, T *dv, size_t heads, size_t rows,
                                        size_t keys, float scale, Dropout dropout) {
  __shared__ __align__(16) Tile<T> tiles[2][2];
  __shared__ float of_rows[2][2][TILE];
  const Head<const T> queries(q, rows, heads), all_keys(k, keys, heads), values(v, keys, heads), slopes(dy, rows, heads);
  const Weights weights(mask, scale, heads, rows, keys, dropout);
  int first = blockIdx.x * TILE + threadIdx.x / WARP * 16;
  Rows key_rows, value_rows;
  load_rows(key_rows, all_keys, first);
  load_rows(value_rows, values, first);
  Sums key_sums = {}, value_sums = {};

  auto copy_of_rows = [&](int at, int row0) {
    for (int i = threadIdx.x; i < TILE && row0 + i < rows; i += WARPS * WARP) {
      of_rows[at][0][i] = lse[blockIdx.y * rows + row0 + i];
      of_rows[at][1][i] = delta[blockIdx.y * rows + row0 + i];
    }
  };
  over_tiles(tiles, queries, slopes, copy_of_rows, [&](int at, int row0) {
    for (int query = 0; query < TILE && row0 + query < rows; query += 16) {
      float scores[2][4] = {}, da[2][4] = {};
      for (int n = 0; n < 2; n++) {
        add_scores(scores[n], key_rows, tiles[at][0], query + 8 * n);
        add_scores(da[n], value_rows, tiles[at][1], query + 8 * n);
        for (int i = 0; i < 4; i++) {
          int in_tile = query + 8 * n + pair_of_lane() + i % 2, row = row0 + in_tile;
          int key = first + row_of_lane() + i / 2 * 8;
          float weight = 0.0f, kept = 0.0f, taken = 0.0f;
          if (row < rows && key < keys) {
            weight = __expf(weights.score(scores[n][i], key) - of_rows[at][0][in_tile]);
            kept = weights.factor(row, key);
            taken = of_rows[at][1][in_tile];
          }
          scores[n][i] = weight * kept;
          da[n][i] = weight * (kept * da[n][i] - taken);
        }
      }
      unsigned factor[4];
      as_factor<T>(factor, scores[0], scores[1]);
      add_rows(value_sums, factor, tiles[at][1], query);
      as_factor<T>(factor, da[0], da[1]);
      add_rows(key_sums, factor, tiles[at][0], query);
    }
  });
  store_rows(Head<T>(dk, keys, heads), first, key_sums, {scale, scale});
  store_rows(Head<T>(dv, keys, heads), first, value_sums, {1.0f, 1.0f});
}

// Gradient of queries: dQ = scale dS K, with dS as above. A warp has 16 queries and meets the keys 16 at a time.
template <class T>
__device__ void attention_backward_queries(const T *q, const T *k, const T *v, const T *dy, const float *mask,
                                           const float *lse, const float *delta, T *dq, size_t heads, size_t rows,
                                           size_t keys, float scale, Dropout dropout) {
  __shared__ __align__(16) Tile<T> tiles[2][2];
  const Head<const T> queries(q, rows, heads), all_keys(k, keys, heads), values(v, keys, heads), slopes(dy, rows, heads);
  const Weights weights(mask, scale, heads, rows, keys, dropout);
  int first = blockIdx.x * TILE + threadIdx.x / WARP * 16;
  Rows query_rows, slope_rows;
  load_rows(query_rows, queries, first);
  load_rows(slope_rows, slopes, first);
  Sums sums = {};
  float of_rows[2][2] = {};
  for (int half = 0; half < 2; half++) {
    int row = first + row_of_lane() + 8 * half;
    if (row < rows) {
      of_rows[half][0] = lse[blockIdx.y * rows + row];
      of_rows[half][1] = delta[blockIdx.y * rows + row];
    }
  }

  over_tiles(tiles, all_keys, values, Nothing(), [&](int at, int key0) {
    for (int some = 0; some < TILE && key0 + some < keys; some += 16) {
      float scores[2][4] = {}, da[2][4] = {};
      for (int n = 0; n < 2; n++) {
        add_scores(scores[n], query_rows, tiles[at][0], some + 8 * n);
        add_scores(da[n], slope_rows, tiles[at][1], some + 8 * n);
        for (int i = 0; i < 4; i++) {
          int row = first + row_of_lane() + i / 2 * 8, key = key0 + some + 8 * n + pair_of_lane() + i % 2;
          bool there = row < rows && key < keys;
          float weight = there ? __expf(weights.score(scores[n][i], key) - of_rows[i / 2][0]) : 0.0f;
          da[n][i] = there ? weight * (weights.factor(row, key) * da[n][i] - of_rows[i / 2][1]) : 0.0f;
        }
      }
      unsigned factor[4];
      as_factor<T>(factor, da[0], da[1]);
      add_rows(sums, factor, tiles[at][0], some);
    }
  });
  store_rows(Head<T>(dq, rows, heads), first, sums, {scale, scale});
}

#define ATTENTION(S, T)                                                                                               \
  extern "C" __global__ void __launch_bounds__(WARPS *WARP)                                                           \
      attention_##S(const T *q, const T *k, const T *v, const float *mask, T *y, float *lse, size_t heads,            \
                    size_t rows, size_t keys, float scale, Dropout dropout) {                                         \
    attention(q, k, v, mask, y, lse, heads, rows, keys, scale, dropout);                                              \
  }                                                                                                                   \
  extern "C" __global__ void attention_delta_##S(const T *y, const T *dy, float *delta, size_t n, size_t heads,       \
                                                 size_t rows) {                                                       \
    attention_delta(y, dy, delta, n, heads, rows);                                                                    \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(WARPS *WARP)                                                           \
      attention_backward_keys_##S(const T *q, const T *k, const T *v, const T *dy, const float *mask,                 \
                                  const float *lse, const float *delta, T *dk, T *dv, size_t heads, size_t rows,      \
                                  size_t keys, float scale, Dropout dropout) {                                        \
    attention_backward_keys(q, k, v, dy, mask, lse, delta, dk, dv, heads, rows, keys, scale, dropout);                \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(WARPS *WARP)                                                           \
      attention_backward_queries_##S(const T *q, const T *k, const T *v, const T *dy, const float *mask,              \
                                     const float *lse, const float *delta, T *dq, size_t heads, size_t rows,          \
                                     size_t keys, float scale, Dropout dropout) {                                     \
    attention_backward_queries(q, k, v, dy, mask, lse, delta, dq, heads, rows, keys, scale, dropout);                 \
  }
ATTENTION(bf16, bf16)
ATTENTION(f16, f16)

#endif
