// Attention of heads of width 64 in bf16, f16 and TF32, in tiles of queries and keys that stay on the chip: no score is
// written to memory (Dao et al. 2022; Dao 2023, algorithms 1 and 2, with a kernel of its own for the gradient of the
// queries, so that no sum depends on the order in which blocks run).
//
// q and y are (B, rows, heads x 64), k and v (B, keys, heads x 64), the mask is (B, keys) of f32 or null, `lse` and `delta`
// are (B, heads, rows) of f32. A block has four warps; blockIdx.y is the head among all of the batch. Dropout is that of
// weight (head, row, key).

#include "attention_tiles.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

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
  int first = blockIdx.x * BLOCK_ROWS + threadIdx.x / WARP * 16;
  Rows<T> query_rows;
  load_rows(query_rows, queries, first);
  Sums sums = {};
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {};

  over_tiles(tiles, all_keys, values, Nothing(), [&](int at, int key0) {
    float scores[TILE<T> / 16][2][4] = {}, max[2] = {largest[0], largest[1]};
    for (int n = 0; n < TILE<T> / 8; n++) {
      float(&some)[4] = scores[n / 2][n % 2];
      add_scores(some, query_rows, tiles[at][0], 8 * n);
      for (int i = 0; i < 4; i++) {
        int key = key0 + 8 * n + pair_of_lane() + i % 2;
        some[i] = key < keys ? weights.score(some[i], key) : -INFINITY;
        max[i / 2] = fmaxf(max[i / 2], some[i]);
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
    for (int n = 0; n < TILE<T> / 8; n++)
      for (int i = 0; i < 4; i++) {
        int row = first + row_of_lane() + i / 2 * 8, key = key0 + 8 * n + pair_of_lane() + i % 2;
        float &score = scores[n / 2][n % 2][i], weight = score > -INFINITY ? __expf(score - largest[i / 2]) : 0.0f;
        total[i / 2] += weight;
        score = weight * weights.factor(row, key);
      }
    for (int n = 0; n < TILE<T> / 16; n++) add_rows(sums, scores[n], tiles[at][1], 16 * n);
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
  __shared__ float of_rows[2][2][TILE<T>];
  const Head<const T> queries(q, rows, heads), all_keys(k, keys, heads), values(v, keys, heads), slopes(dy, rows, heads);
  const Weights weights(mask, scale, heads, rows, keys, dropout);
  int first = blockIdx.x * BLOCK_ROWS + threadIdx.x / WARP * 16;
  Rows<T> key_rows, value_rows;
  load_rows(key_rows, all_keys, first);
  load_rows(value_rows, values, first);
  Sums key_sums = {}, value_sums = {};

  auto copy_of_rows = [&](int at, int row0) {
    for (int i = threadIdx.x; i < TILE<T> && row0 + i < rows; i += WARPS * WARP) {
      of_rows[at][0][i] = lse[blockIdx.y * rows + row0 + i];
      of_rows[at][1][i] = delta[blockIdx.y * rows + row0 + i];
    }
  };
  over_tiles(tiles, queries, slopes, copy_of_rows, [&](int at, int row0) {
    for (int query = 0; query < TILE<T> && row0 + query < rows; query += 16) {
      float scores[2][4] = {}, da[2][4] = {};
#pragma unroll  // Else both would be kept in memory.
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
      add_rows(value_sums, scores, tiles[at][1], query);
      add_rows(key_sums, da, tiles[at][0], query);
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
  int first = blockIdx.x * BLOCK_ROWS + threadIdx.x / WARP * 16;
  Rows<T> query_rows, slope_rows;
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
    for (int some = 0; some < TILE<T> && key0 + some < keys; some += 16) {
      float scores[2][4] = {}, da[2][4] = {};
#pragma unroll  // Else both would be kept in memory.
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
      add_rows(sums, da, tiles[at][0], some);
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
ATTENTION(tf32, float)

#endif
