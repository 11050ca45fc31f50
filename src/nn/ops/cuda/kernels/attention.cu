// Attention of heads of width D in bf16, f16 and TF32, in tiles of queries and keys that stay on the chip: no score is
// written to memory (Dao et al. 2022; Dao 2023, algorithms 1 and 2), and no tile of which nothing is seen is computed.
//
// q and y are (B, rows, heads x D), k and v (B, keys, key_heads x D), where each head of keys serves as many of queries
// (Ainslie et al. 2023); the mask is (B, keys) of f32 or null, `lse` and `delta` are (B, heads, rows) of f32. A block works
// on some rows of a head, and the blocks of a head follow each other. Scores are kept as they come out of the product; what
// scales them is part of the exponent, which is one of two.

#include <climits>

#include "attention_tiles.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

constexpr float LOG2_E = 1.44269504f;

// Forward, a block has four warps. Of heads of 64 a warp has 16 queries twice, and each key that it loads serves both; for
// more of wider heads it has no registers.
template <int D> constexpr int GROUPS = D > 64 ? 1 : 2;
constexpr int QUERY_THREADS = 4 * WARP;
template <int D> constexpr int BLOCK_QUERIES = QUERY_THREADS / WARP * GROUPS<D> * 16;

// Of the four lanes that share a row.
__device__ inline float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// The least and the most of a warp.
__device__ inline int warp_least(int x) {
  for (int lanes = WARP / 2; lanes > 0; lanes /= 2) x = min(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

__device__ inline int warp_most(int x) { return -warp_least(-x); }

// y, and the logarithm to base 2 of each row's sum of exponentials. Shared memory: two pairs of tiles.
template <class T, int D>
__device__ void attention(const T *q, const T *k, const T *v, const float *mask, Sight sight, T *y, float *lse,
                          size_t heads, size_t key_heads, size_t rows, size_t keys, float scale, Dropout dropout) {
  extern __shared__ __align__(16) unsigned char tiles_of_block[];
  auto &tiles = *reinterpret_cast<Tile<T, D> (*)[2][2]>(tiles_of_block);
  constexpr int N = TILE<T> / 8, GROUPS = ::GROUPS<D>;
  const Block block(rows, BLOCK_QUERIES<D>, sight.causal);
  const unsigned sequence = block.head / unsigned(heads);
  const unsigned key_head =
      sequence * unsigned(key_heads) + block.head % unsigned(heads) / (unsigned(heads) / unsigned(key_heads));
  const Head<const T, D> queries(q, rows, heads, block.head), all_keys(k, keys, key_heads, key_head);
  const Head<const T, D> values(v, keys, key_heads, key_head);
  const float *mask_of_keys = mask ? mask + sequence * keys : nullptr;
  const unsigned *starts = sight.starts_of(block.head, heads, rows);
  const float exponent = scale * LOG2_E;
  const int first = block.first + threadIdx.x / WARP * GROUPS * 16;

  Rows<T, D> query_rows[GROUPS];
  Sums<D> sums[GROUPS] = {};
  float largest[GROUPS][2], total[GROUPS][2] = {};
  const Survivors survivors(dropout, rows, keys, block.head);
  unsigned pairs[GROUPS][2];
  int first_keys[GROUPS][2], least = INT_MAX, most = 0;
#pragma unroll
  for (int g = 0; g < GROUPS; g++) {
    load_rows(query_rows[g], queries, first + 16 * g);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = first + 16 * g + 8 * half + row_of_lane();
      largest[g][half] = -INFINITY;
      pairs[g][half] = survivors.pair(row, pair_of_lane());
      first_keys[g][half] = sight.first(min(row, int(rows) - 1), starts);
      least = min(least, first_keys[g][half]);
      most = max(most, first_keys[g][half]);
    }
  }
  // Of the keys from `least` on, a query of this warp sees some; all of its queries see those from `most` to `all_until`.
  least = warp_least(least);
  most = warp_most(most);
  const int until = sight.causal ? min(int(keys), first + GROUPS * 16) : keys;
  const int all_until = sight.causal ? min(int(keys), first + 1) : keys;
  const int begin = sight.causal ? max(0, block.first + 1 - int(sight.window)) / TILE<T> * TILE<T> : 0;
  const int end = sight.causal ? min(int(keys), block.first + BLOCK_QUERIES<D>) : keys;

  over_tiles<QUERY_THREADS>(tiles, all_keys, values, begin, end, Nothing(), [&](int at, int key0) {
    const unsigned pairs_before = unsigned(key0 / 2) * Dropout::SCATTER;
    if (first >= rows || key0 >= until || key0 + TILE<T> <= least) return;
    float scores[GROUPS][N / 2][2][4];
#pragma unroll
    for (int n = 0; n < N; n++) {
      float(*of_groups[GROUPS])[4];
#pragma unroll
      for (int g = 0; g < GROUPS; g++) of_groups[g] = &scores[g][n / 2][n % 2];
      multiply_rows(of_groups, query_rows, tiles[at][0], 8 * n);
    }
    // Only where there is a mask, or some query does not see all keys of the tile.
    if (mask || key0 < most || key0 + TILE<T> > all_until)
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int key = key0 + 8 * n + pair_of_lane() + i;
          float addend = addend_of(key, keys, mask_of_keys, 1.0f / scale);
#pragma unroll
          for (int g = 0; g < GROUPS; g++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
              const int row = first + 16 * g + 8 * half + row_of_lane();
              const bool seen = key >= first_keys[g][half] && (!sight.causal || key <= row);
              float &score = scores[g][n / 2][n % 2][2 * half + i];
              score = seen ? score + addend : -INFINITY;
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
        // A row that has not seen a key yet has no largest score.
        float shift = max == -INFINITY ? 0.0f : -max * exponent;
        float shrink = power_of_two(largest[g][half] * exponent + shift);
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
        for (int n = 0; n < D / 8; n++) {
          sums[g][n][2 * half] *= shrink;
          sums[g][n][2 * half + 1] *= shrink;
        }
      }
#pragma unroll
    for (int n = 0; n < N / 2; n++) {
      Factor<T> weights[GROUPS];
#pragma unroll
      for (int g = 0; g < GROUPS; g++) weights[g] = Factor<T>(scores[g][n]);
      if (dropout.drops())
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
#pragma unroll
          for (int half = 0; half < 2; half++) {
            unsigned pair = pairs[g][half] + pairs_before + 8 * n * Dropout::SCATTER;
            weights[g].keep(half, half + 2, dropout.survivors(pair), dropout.survivors(pair + Dropout::SCATTER));
          }
      add_rows(sums, weights, tiles[at][1], 16 * n);
    }
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
    store_rows(Head<T, D>(y, rows, heads, block.head), first + 16 * g, sums[g], factor);
  }
}

// delta = rowsum(dy y) of each head, without the factor of dropout: what softmax takes off the gradient of its weights.
// Eight lanes a row of a head.
template <class T, int D>
__device__ void attention_delta(const T *y, const T *dy, float *delta, size_t n, size_t heads, size_t rows,
                                Dropout dropout) {
  constexpr int LANES = 8, N = 8;
  size_t i = (blockIdx.x * size_t(blockDim.x) + threadIdx.x) / LANES;
  bool there = i < n;
  float sum = 0.0f;
  if (there)
    for (int column = threadIdx.x % LANES * N; column < D; column += LANES * N) {
      Some<N, T> left = load<N>(y + i * D + column), right = load<N>(dy + i * D + column);
      for (int j = 0; j < N; j++) sum += widen(left.v[j]) * widen(right.v[j]);
    }
  for (int lanes = LANES / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  size_t head = i % heads, row = i / heads % rows, sequence = i / heads / rows;
  if (there && threadIdx.x % LANES == 0) delta[(sequence * heads + head) * rows + row] = sum / dropout.scale;
}

// Backward, a block has eight warps with 16 keys each, which meet the queries of the heads that they serve a tile at a time.
// Of heads of 64 in 16 bits two blocks share a multiprocessor.
constexpr int KEY_THREADS = 8 * WARP, BLOCK_KEYS = KEY_THREADS / WARP * 16;
template <class T, int D> constexpr int KEY_BLOCKS = sizeof(T) == 2 && D <= 64 ? 2 : 1;
// Rows of a tile of queries: of wide heads so few that a block has room on every GPU, some of which give it 99 KiB.
template <class T, int D> constexpr int QUERY_TILE = D > 64 ? 32 : TILE<T>;

template <class T, int D> struct BackwardTiles {
  Tile<T, D, BLOCK_KEYS> keys;
  // Queries, and the slopes of their results.
  Tile<T, D, QUERY_TILE<T, D>> tiles[2][2];
  // Gradients of the scores of keys and queries.
  T dscores[BLOCK_KEYS][QUERY_TILE<T, D> + PIECE<T>];
  // `lse` and `delta`.
  float of_rows[2][2][QUERY_TILE<T, D>];
  // The first keys that the queries see.
  int first_keys[2][QUERY_TILE<T, D>];
};

// Where `dq_sum` has what this lane adds up of 16 rows and 8 columns.
template <int D> __device__ inline size_t sums_of_lane(unsigned head, size_t rows, int row, int column) {
  size_t sixteens = (unsigned(rows) + 15) / 16;
  return (((head * sixteens + row / 16) * (D / 8) + column / 8) * 4) * WARP + lane();
}

// Gradients: with P the weights, M the mask of dropout, dA = dy V^T and dS = P (M dA - delta), dV = (M P)^T dy,
// dK = scale dS^T Q and dQ = scale dS K. If one block has all keys, it writes dq; otherwise all add to `dq_sum`, which is zero
// before and laid out as the matrix units hold it, so that the lanes of a warp add to neighbours: (B, heads, rows / 16, D / 8,
// 4, 32), number i of the lane's sums over 8 columns. Shared memory: `BackwardTiles`.
template <class T, int D>
__device__ void attention_backward(const T *q, const T *k, const T *v, const T *dy, const float *mask, Sight sight,
                                   const float *lse, const float *delta, T *dq, float *dq_sum, T *dk, T *dv,
                                   size_t heads, size_t key_heads, size_t rows, size_t keys, float scale,
                                   Dropout dropout) {
  constexpr int TILE = QUERY_TILE<T, D>;
  extern __shared__ __align__(16) unsigned char tiles_of_block[];
  auto &on_chip = *reinterpret_cast<BackwardTiles<T, D> *>(tiles_of_block);
  const Block block(keys, BLOCK_KEYS);
  const Head<const T, D> all_keys(k, keys, key_heads, block.head), values(v, keys, key_heads, block.head);
  const unsigned sequence = block.head / unsigned(key_heads), served = unsigned(heads) / unsigned(key_heads);
  const unsigned first_head = sequence * unsigned(heads) + block.head % unsigned(key_heads) * served;
  const unsigned *starts = sight.starts_of(first_head, heads, rows);
  const int warp = threadIdx.x / WARP, first = block.first + 16 * warp;
  const float exponent = scale * LOG2_E, factor = scale * dropout.scale;

  Rows<T, D> value_rows[1];
  load_rows(value_rows[0], values, first);
  Sums<D> key_sums[1] = {}, value_sums[1] = {};
  const bool adds = mask || block.first + BLOCK_KEYS > keys;
  float addends[2];
#pragma unroll
  for (int half = 0; half < 2; half++)
    addends[half] = addend_of(first + row_of_lane() + 8 * half, keys, mask ? mask + sequence * keys : nullptr, 1.0f / scale);
  // The queries that see a key of this block.
  const int last_key = min(block.first + BLOCK_KEYS, int(keys)) - 1;
  const int begin = sight.causal ? block.first / TILE * TILE : 0;
  const int end = sight.causal ? min(int(rows), last_key + min(int(sight.window), int(rows))) : rows;

  copy_rows<KEY_THREADS>(on_chip.keys, all_keys, block.first);
  for (unsigned head = first_head; head < first_head + served; head++) {
    const Head<const T, D> queries(q, rows, heads, head), slopes(dy, rows, heads, head);
    const Survivors survivors(dropout, rows, keys, head);
    auto copy_of_rows = [&](int at, int row0) {
      if (threadIdx.x >= TILE) return;
      int row = row0 + threadIdx.x;
      // The weights of rows that are not there are 2 to the power of minus infinity.
      on_chip.of_rows[at][0][threadIdx.x] = row < rows ? lse[head * rows + row] : INFINITY;
      on_chip.of_rows[at][1][threadIdx.x] = row < rows ? delta[head * rows + row] : 0.0f;
      if (sight.causal) on_chip.first_keys[at][threadIdx.x] = row < rows ? sight.first(row, starts) : 0;
    };
    over_tiles<KEY_THREADS>(on_chip.tiles, queries, slopes, begin, end, copy_of_rows, [&](int at, int row0) {
      const auto &tiles = on_chip.tiles[at];
      unsigned pair = survivors.pair(row0 + pair_of_lane(), first + row_of_lane());
#pragma unroll 1  // Else a multiprocessor has no registers for two blocks.
      for (int query = 0; query < TILE; query += 16) {
        Rows<T, D> key_rows[1];
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
        // Only where a key of the warp may lie behind a query, or before what it sees.
        if (sight.causal && (sight.starts || first + 15 > row0 + query || first < row0 + query + 16 - int(sight.window)))
#pragma unroll
          for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
              const int column = query + 8 * n + pair_of_lane() + i % 2, key = first + row_of_lane() + i / 2 * 8;
              if (key > row0 + column || key < on_chip.first_keys[at][column]) scores[n][i] = -INFINITY;
            }
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
      constexpr int SIXTEENS = TILE / 16, COLUMNS = D * SIXTEENS * WARP / KEY_THREADS;
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
        float *sums = dq_sum + sums_of_lane<D>(head, rows, row0 + query, column);
#pragma unroll
        for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
          for (int i = 0; i < 4; i++) atomicAdd(sums + (4 * n + i) * WARP, part[0][n][i] * factor);
      } else
        store_rows(Head<T, D>(dq, rows, heads, head), row0 + query, part[0], {factor, factor}, column);
    });
  }
  store_rows(Head<T, D>(dk, keys, key_heads, block.head), first, key_sums[0], {factor, factor});
  store_rows(Head<T, D>(dv, keys, key_heads, block.head), first, value_sums[0], {dropout.scale, dropout.scale});
}

// `dq_sum` as the gradient of queries. A warp 16 rows of a head, of `n` such rows in all.
template <class T, int D> __device__ void attention_queries(const float *dq_sum, T *dq, size_t n, size_t heads, size_t rows) {
  size_t i = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP, sixteens = (rows + 15) / 16;
  if (i >= n) return;
  unsigned head = i / sixteens;
  int first = i % sixteens * 16;
  const float *of_lane = dq_sum + sums_of_lane<D>(head, rows, first, 0);
  Sums<D> sums;
#pragma unroll
  for (int column = 0; column < D / 8; column++)
#pragma unroll
    for (int j = 0; j < 4; j++) sums[column][j] = of_lane[(4 * column + j) * WARP];
  store_rows(Head<T, D>(dq, rows, heads, head), first, sums, {1.0f, 1.0f});
}

#define ATTENTION(S, T, D)                                                                                            \
  extern "C" __global__ void __launch_bounds__(QUERY_THREADS)                                                         \
      attention_##D##_##S(const T *q, const T *k, const T *v, const float *mask, Sight sight, T *y, float *lse,       \
                          size_t heads, size_t key_heads, size_t rows, size_t keys, float scale, Dropout dropout) {   \
    attention<T, D>(q, k, v, mask, sight, y, lse, heads, key_heads, rows, keys, scale, dropout);                      \
  }                                                                                                                   \
  extern "C" __global__ void attention_delta_##D##_##S(const T *y, const T *dy, float *delta, size_t n, size_t heads, \
                                                       size_t rows, Dropout dropout) {                                \
    attention_delta<T, D>(y, dy, delta, n, heads, rows, dropout);                                                     \
  }                                                                                                                   \
  extern "C" __global__ void attention_queries_##D##_##S(const float *dq_sum, T *dq, size_t n, size_t heads,          \
                                                         size_t rows) {                                               \
    attention_queries<T, D>(dq_sum, dq, n, heads, rows);                                                              \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(KEY_THREADS, KEY_BLOCKS<T, D>)                                         \
      attention_backward_##D##_##S(const T *q, const T *k, const T *v, const T *dy, const float *mask, Sight sight,   \
                                   const float *lse, const float *delta, T *dq, float *dq_sum, T *dk, T *dv,          \
                                   size_t heads, size_t key_heads, size_t rows, size_t keys, float scale,             \
                                   Dropout dropout) {                                                                 \
    attention_backward<T, D>(q, k, v, dy, mask, sight, lse, delta, dq, dq_sum, dk, dv, heads, key_heads, rows, keys,  \
                             scale, dropout);                                                                         \
  }
ATTENTION(bf16, bf16, 64)
ATTENTION(f16, f16, 64)
ATTENTION(tf32, float, 64)
// Of TF32 the sums and rows of a warp of such heads are more than it has registers for.
ATTENTION(bf16, bf16, 128)
ATTENTION(f16, f16, 128)

#endif
