// Attention of heads of width 64 in bf16, f16 and TF32, in tiles of queries and keys that stay on the chip: no score is
// written to memory (Dao et al. 2022; Dao 2023, algorithms 1 and 2).
//
// q and y are (B, rows, heads x 64), k and v (B, keys, heads x 64), the mask is (B, keys) of f32 or null, `lse` and `delta`
// are (B, heads, rows) of f32. A block works on some rows of a head, and the blocks of a head follow each other. Scores are
// kept as they come out of the product; what scales them is part of the exponent, which is one of two.

#include "attention_tiles.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

constexpr float LOG2_E = 1.44269504f;

// Forward, a block has four warps, and a warp 16 queries twice: each key that it loads serves both.
constexpr int GROUPS = 2, QUERY_THREADS = 4 * WARP, BLOCK_QUERIES = QUERY_THREADS / WARP * GROUPS * 16;

// Of the four lanes that share a row.
__device__ inline float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// y, and the logarithm to base 2 of each row's sum of exponentials.
template <class T>
__device__ void attention(const T *q, const T *k, const T *v, const float *mask, T *y, float *lse, size_t heads,
                          size_t rows, size_t keys, float scale, Dropout dropout) {
  __shared__ __align__(16) Tile<T> tiles[2][2];
  constexpr int N = TILE<T> / 8;
  const Block block(rows, BLOCK_QUERIES);
  const Head<const T> queries(q, rows, heads, block.head), all_keys(k, keys, heads, block.head);
  const Head<const T> values(v, keys, heads, block.head);
  const float *mask_of_keys = mask ? mask + block.head / unsigned(heads) * keys : nullptr;
  const float exponent = scale * LOG2_E;
  const int first = block.first + threadIdx.x / WARP * GROUPS * 16;

  Rows<T> query_rows[GROUPS];
  Sums sums[GROUPS] = {};
  float largest[GROUPS][2], total[GROUPS][2] = {};
  const Survivors survivors(dropout, rows, keys, block.head);
  unsigned pairs[GROUPS][2];
#pragma unroll
  for (int g = 0; g < GROUPS; g++) {
    load_rows(query_rows[g], queries, first + 16 * g);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      largest[g][half] = -INFINITY;
      pairs[g][half] = survivors.pair(first + 16 * g + 8 * half + row_of_lane(), pair_of_lane());
    }
  }

  over_tiles<QUERY_THREADS>(tiles, all_keys, values, Nothing(), [&](int at, int key0) {
    if (first >= rows) return;
    float scores[GROUPS][N / 2][2][4];
#pragma unroll
    for (int n = 0; n < N; n++)
      multiply_rows({&scores[0][n / 2][n % 2], &scores[1][n / 2][n % 2]}, query_rows, tiles[at][0], 8 * n);
    // Only where there is a mask, or the keys end within the tile.
    if (mask || key0 + TILE<T> > keys)
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float addend = addend_of(key0 + 8 * n + pair_of_lane() + i, keys, mask_of_keys, 1.0f / scale);
#pragma unroll
          for (int g = 0; g < GROUPS; g++) {
            scores[g][n / 2][n % 2][i] += addend;
            scores[g][n / 2][n % 2][i + 2] += addend;
          }
        }
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float max = largest[g][half];
#pragma unroll
        for (int n = 0; n < N; n++)
          max = fmaxf(max, fmaxf(scores[g][n / 2][n % 2][2 * half], scores[g][n / 2][n % 2][2 * half + 1]));
        max = row_max(max);
        float shift = -max * exponent, shrink = power_of_two(largest[g][half] * exponent + shift);
        largest[g][half] = max;
        float sum = total[g][half] * shrink;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
          for (int i = 0; i < 2; i++) {
            float &score = scores[g][n / 2][n % 2][2 * half + i];
            score = power_of_two(score * exponent + shift);
            sum += score;
          }
        total[g][half] = sum;
#pragma unroll
        for (int n = 0; n < D_HEAD / 8; n++) {
          sums[g][n][2 * half] *= shrink;
          sums[g][n][2 * half + 1] *= shrink;
        }
      }
#pragma unroll
    for (int n = 0; n < N / 2; n++) {
      Factor<T> weights[GROUPS] = {Factor<T>(scores[0][n]), Factor<T>(scores[1][n])};
      if (dropout.drops())
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
#pragma unroll
          for (int half = 0; half < 2; half++) {
            unsigned pair = pairs[g][half] + 8 * n * Dropout::SCATTER;
            weights[g].keep(half, half + 2, dropout.survivors(pair), dropout.survivors(pair + Dropout::SCATTER));
          }
      add_rows(sums, weights, tiles[at][1], 16 * n);
    }
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
#pragma unroll
      for (int half = 0; half < 2; half++) pairs[g][half] += TILE<T> / 2 * Dropout::SCATTER;
  });

#pragma unroll
  for (int g = 0; g < GROUPS; g++) {
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = row_sum(total[g][half]);
      factor[half] = dropout.scale / sum;
      int row = first + 16 * g + 8 * half + row_of_lane();
      if (pair_of_lane() == 0 && row < rows)
        lse[block.head * rows + row] = largest[g][half] * exponent + __log2f(sum);
    }
    store_rows(Head<T>(y, rows, heads, block.head), first + 16 * g, sums[g], factor);
  }
}

// delta = rowsum(dy y) of each head, without the factor of dropout: what softmax takes off the gradient of its weights.
// Eight lanes a row of a head.
template <class T>
__device__ void attention_delta(const T *y, const T *dy, float *delta, size_t n, size_t heads, size_t rows,
                                Dropout dropout) {
  constexpr int LANES = 8, N = D_HEAD / LANES;
  size_t i = (blockIdx.x * size_t(blockDim.x) + threadIdx.x) / LANES;
  bool there = i < n;
  float sum = 0.0f;
  if (there) {
    Some<N, T> left = load<N>(y + i * D_HEAD + threadIdx.x % LANES * N), right = load<N>(dy + i * D_HEAD + threadIdx.x % LANES * N);
    for (int j = 0; j < N; j++) sum += widen(left.v[j]) * widen(right.v[j]);
  }
  for (int lanes = LANES / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  size_t head = i % heads, row = i / heads % rows, sequence = i / heads / rows;
  if (there && threadIdx.x % LANES == 0) delta[(sequence * heads + head) * rows + row] = sum / dropout.scale;
}

// Backward, a block has eight warps with 16 keys each, which meet the queries of the head a tile at a time. In 16 bits two
// blocks share a multiprocessor.
constexpr int KEY_THREADS = 8 * WARP, BLOCK_KEYS = KEY_THREADS / WARP * 16;
template <class T> constexpr int KEY_BLOCKS = sizeof(T) == 2 ? 2 : 1;

template <class T> struct BackwardTiles {
  Tile<T, BLOCK_KEYS> keys;
  // Queries, and the slopes of their results.
  Tile<T> tiles[2][2];
  // Gradients of the scores of keys and queries.
  T dscores[BLOCK_KEYS][TILE<T> + PIECE<T>];
  // `lse` and `delta`.
  float of_rows[2][2][TILE<T>];
};

// Where `dq_sum` has what this lane adds up of 16 rows and 8 columns.
__device__ inline size_t sums_of_lane(unsigned head, size_t rows, int row, int column) {
  size_t sixteens = (unsigned(rows) + 15) / 16;
  return (((head * sixteens + row / 16) * (D_HEAD / 8) + column / 8) * 4) * WARP + lane();
}

// Gradients: with P the weights, M the mask of dropout, dA = dy V^T and dS = P (M dA - delta), dV = (M P)^T dy,
// dK = scale dS^T Q and dQ = scale dS K. If one block has all keys, it writes dq; otherwise all add to `dq_sum`, which is zero
// before and laid out as the matrix units hold it, so that the lanes of a warp add to neighbours: (B, heads, rows / 16, 8, 4,
// 32), number i of the lane's sums over 8 columns. Shared memory: `BackwardTiles`.
template <class T>
__device__ void attention_backward(const T *q, const T *k, const T *v, const T *dy, const float *mask, const float *lse,
                                   const float *delta, T *dq, float *dq_sum, T *dk, T *dv, size_t heads, size_t rows,
                                   size_t keys, float scale, Dropout dropout) {
  extern __shared__ __align__(16) unsigned char tiles_of_block[];
  auto &on_chip = *reinterpret_cast<BackwardTiles<T> *>(tiles_of_block);
  const Block block(keys, BLOCK_KEYS);
  const Head<const T> queries(q, rows, heads, block.head), slopes(dy, rows, heads, block.head);
  const Head<const T> all_keys(k, keys, heads, block.head), values(v, keys, heads, block.head);
  const int warp = threadIdx.x / WARP, first = block.first + 16 * warp;
  const float exponent = scale * LOG2_E, factor = scale * dropout.scale;

  Rows<T> value_rows[1];
  load_rows(value_rows[0], values, first);
  Sums key_sums[1] = {}, value_sums[1] = {};
  const bool adds = mask || block.first + BLOCK_KEYS > keys;
  float addends[2];
#pragma unroll
  for (int half = 0; half < 2; half++)
    addends[half] = addend_of(first + row_of_lane() + 8 * half, keys,
                              mask ? mask + block.head / unsigned(heads) * keys : nullptr, 1.0f / scale);
  const Survivors survivors(dropout, rows, keys, block.head);

  copy_rows<KEY_THREADS>(on_chip.keys, all_keys, block.first);
  auto copy_of_rows = [&](int at, int row0) {
    if (threadIdx.x >= TILE<T>) return;
    int row = row0 + threadIdx.x;
    // The weights of rows that are not there are 2 to the power of minus infinity.
    on_chip.of_rows[at][0][threadIdx.x] = row < rows ? lse[block.head * rows + row] : INFINITY;
    on_chip.of_rows[at][1][threadIdx.x] = row < rows ? delta[block.head * rows + row] : 0.0f;
  };
  over_tiles<KEY_THREADS>(on_chip.tiles, queries, slopes, copy_of_rows, [&](int at, int row0) {
    const auto &tiles = on_chip.tiles[at];
    unsigned pair = survivors.pair(row0 + pair_of_lane(), first + row_of_lane());
#pragma unroll 1  // Else a multiprocessor has no registers for two blocks.
    for (int query = 0; query < TILE<T>; query += 16) {
      Rows<T> key_rows[1];
      load_rows(key_rows[0], on_chip.keys, 16 * warp);
      float scores[2][4], da[2][4];
#pragma unroll
      for (int n = 0; n < 2; n++) {
        multiply_rows({&scores[n]}, key_rows, tiles[0], query + 8 * n);
        multiply_rows({&da[n]}, value_rows, tiles[1], query + 8 * n);
      }
      if (adds)
#pragma unroll
        for (int i = 0; i < 8; i++) scores[i / 4][i % 4] += addends[i % 4 / 2];
      Some<2, float> taken[2];
#pragma unroll
      for (int n = 0; n < 2; n++) {
        Some<2, float> sums = load<2>(&on_chip.of_rows[at][0][query + 8 * n + pair_of_lane()]);
        taken[n] = load<2>(&on_chip.of_rows[at][1][query + 8 * n + pair_of_lane()]);
#pragma unroll
        for (int i = 0; i < 4; i++) scores[n][i] = power_of_two(scores[n][i] * exponent - sums.v[i % 2]);
      }
      Factor<T> weights[1] = {Factor<T>(scores)};
      if (dropout.drops())
#pragma unroll
        for (int n = 0; n < 2; n++) {
          unsigned of_row[2] = {dropout.survivors(pair + 8 * n * survivors.row),
                                dropout.survivors(pair + (8 * n + 1) * survivors.row)};
          weights[0].keep(2 * n, 2 * n + 1, of_row[0], of_row[1]);
#pragma unroll
          for (int i = 0; i < 4; i++) {
            unsigned kept = signs(of_row[i % 2], 0, i / 2 == 0 ? 0x9999 : 0xbbbb);
            da[n][i] = number_of_word(word_of(da[n][i]) & kept);
          }
        }
      pair += 16 * survivors.row;
      add_rows(value_sums, weights, tiles[1], query);
#pragma unroll
      for (int i = 0; i < 8; i++) da[i / 4][i % 4] = scores[i / 4][i % 4] * (da[i / 4][i % 4] - taken[i / 4].v[i % 2]);
      Factor<T> dscores[1] = {Factor<T>(da)};
      add_rows(key_sums, dscores, tiles[0], query);
      dscores[0].write(on_chip.dscores, 16 * warp, query);
    }
    __syncthreads();

    // 16 queries and some columns a warp, over all keys.
    constexpr int SIXTEENS = TILE<T> / 16, COLUMNS = D_HEAD * SIXTEENS * WARP / KEY_THREADS;
    const int query = warp % SIXTEENS * 16, column = warp / SIXTEENS * COLUMNS;
    float part[1][COLUMNS / 8][4] = {};
#pragma unroll
    for (int key = 0; key < BLOCK_KEYS; key += 16) {
      Factor<T> dscores[1];
      dscores[0].read_transposed(on_chip.dscores, key, query);
      add_rows(part, dscores, on_chip.keys, key, column);
    }
    if (dq_sum) {
      if (row0 + query >= rows) return;
      float *sums = dq_sum + sums_of_lane(block.head, rows, row0 + query, column);
#pragma unroll
      for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) atomicAdd(sums + (4 * n + i) * WARP, part[0][n][i] * factor);
    } else
      store_rows(Head<T>(dq, rows, heads, block.head), row0 + query, part[0], {factor, factor}, column);
  });
  store_rows(Head<T>(dk, keys, heads, block.head), first, key_sums[0], {factor, factor});
  store_rows(Head<T>(dv, keys, heads, block.head), first, value_sums[0], {dropout.scale, dropout.scale});
}

// `dq_sum` as the gradient of queries. A warp 16 rows of a head, of `n` such rows in all.
template <class T> __device__ void attention_queries(const float *dq_sum, T *dq, size_t n, size_t heads, size_t rows) {
  size_t i = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP, sixteens = (rows + 15) / 16;
  if (i >= n) return;
  unsigned head = i / sixteens;
  int first = i % sixteens * 16;
  const float *of_lane = dq_sum + sums_of_lane(head, rows, first, 0);
  Sums sums;
#pragma unroll
  for (int column = 0; column < D_HEAD / 8; column++)
#pragma unroll
    for (int j = 0; j < 4; j++) sums[column][j] = of_lane[(4 * column + j) * WARP];
  store_rows(Head<T>(dq, rows, heads, head), first, sums, {1.0f, 1.0f});
}

#define ATTENTION(S, T)                                                                                               \
  extern "C" __global__ void __launch_bounds__(QUERY_THREADS)                                                         \
      attention_##S(const T *q, const T *k, const T *v, const float *mask, T *y, float *lse, size_t heads,            \
                    size_t rows, size_t keys, float scale, Dropout dropout) {                                         \
    attention(q, k, v, mask, y, lse, heads, rows, keys, scale, dropout);                                              \
  }                                                                                                                   \
  extern "C" __global__ void attention_delta_##S(const T *y, const T *dy, float *delta, size_t n, size_t heads,       \
                                                 size_t rows, Dropout dropout) {                                      \
    attention_delta(y, dy, delta, n, heads, rows, dropout);                                                           \
  }                                                                                                                   \
  extern "C" __global__ void attention_queries_##S(const float *dq_sum, T *dq, size_t n, size_t heads, size_t rows) { \
    attention_queries(dq_sum, dq, n, heads, rows);                                                                    \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(KEY_THREADS, KEY_BLOCKS<T>)                                            \
      attention_backward_##S(const T *q, const T *k, const T *v, const T *dy, const float *mask, const float *lse,    \
                             const float *delta, T *dq, float *dq_sum, T *dk, T *dv, size_t heads, size_t rows,       \
                             size_t keys, float scale, Dropout dropout) {                                             \
    attention_backward(q, k, v, dy, mask, lse, delta, dq, dq_sum, dk, dv, heads, rows, keys, scale, dropout);         \
  }
ATTENTION(bf16, bf16)
ATTENTION(f16, f16)
ATTENTION(tf32, float)

#endif
