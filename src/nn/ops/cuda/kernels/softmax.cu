// Attention weights: softmax of scores with a mask and dropout. A warp a row of scores (rows, keys) of f32; `first_row`
// is the number of the first of them among all rows (B, heads, t), and the mask is (B, keys) or null.

#include "common.cuh"

struct Row {
  size_t row, position;
  const float *scores, *mask;
  // The keys that it sees.
  size_t first, end;

  __device__ float score(size_t key) const {
    if (key < first || key >= end) return -INFINITY;
    return mask ? scores[key] + mask[key] : scores[key];
  }

  __device__ Softmax softmax(size_t keys) const {
    Softmax all;
    for (size_t key = threadIdx.x % WARP; key < keys; key += WARP) all.add(score(key));
    all.over_warp();
    return all;
  }
};

__device__ inline Row row_of(const float *scores, const float *mask, const Sight &sight, size_t rows, size_t keys,
                             size_t first_row, size_t heads, size_t t) {
  size_t row = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP, among_all = first_row + row;
  if (row >= rows) return {row};
  size_t sequence = among_all / t / heads, query = among_all % t;
  const float *of_sequence = mask ? mask + sequence * keys : nullptr;
  const unsigned *starts = sight.starts ? sight.starts + sequence * t : nullptr;
  // Of dropout, a row begins at a multiple of 16.
  return {row, among_all * ((keys + 15) / 16 * 16), scores + row * keys, of_sequence, size_t(sight.first(int(query), starts)),
          min(query + 1 + sight.after, keys)};
}

// The weights after dropout.
template <class T>
__device__ void softmax(const float *scores, const float *mask, Sight sight, T *weights, size_t rows, size_t keys,
                        size_t first_row, size_t heads, size_t t, Dropout dropout) {
  Row row = row_of(scores, mask, sight, rows, keys, first_row, heads, t);
  if (row.row >= rows) return;
  Softmax all = row.softmax(keys);
  for (size_t key = threadIdx.x % WARP; key < keys; key += WARP)
    weights[row.row * keys + key] = narrow<T>(all.weight(row.score(key)) * dropout.factor(row.position + key));
}

// The weights after dropout again, and the gradient of the scores: with P the weights, M the mask of dropout and dA the
// gradient of what multiplies the values, dS = P (M dA - rowsum(P M dA)).
template <class T>
__device__ void softmax_backward(const float *scores, const float *mask, Sight sight, const float *da, T *weights,
                                 T *dscores, size_t rows, size_t keys, size_t first_row, size_t heads, size_t t,
                                 Dropout dropout) {
  Row row = row_of(scores, mask, sight, rows, keys, first_row, heads, t);
  if (row.row >= rows) return;
  da += row.row * keys;
  Softmax all = row.softmax(keys);
  float sum = 0.0f;
  for (size_t key = threadIdx.x % WARP; key < keys; key += WARP)
    sum += all.weight(row.score(key)) * dropout.factor(row.position + key) * da[key];
  sum = warp_sum(sum);
  for (size_t key = threadIdx.x % WARP; key < keys; key += WARP) {
    float weight = all.weight(row.score(key)), factor = dropout.factor(row.position + key);
    weights[row.row * keys + key] = narrow<T>(weight * factor);
    dscores[row.row * keys + key] = narrow<T>(weight * (factor * da[key] - sum));
  }
}

#define SOFTMAX(S, T)                                                                                                  \
  extern "C" __global__ void softmax_##S(const float *scores, const float *mask, Sight sight, T *weights, size_t rows, \
                                         size_t keys, size_t first_row, size_t heads, size_t t, Dropout dropout) {     \
    softmax(scores, mask, sight, weights, rows, keys, first_row, heads, t, dropout);                                   \
  }                                                                                                                    \
  extern "C" __global__ void softmax_backward_##S(const float *scores, const float *mask, Sight sight,                 \
                                                  const float *da, T *weights, T *dscores, size_t rows, size_t keys,   \
                                                  size_t first_row, size_t heads, size_t t, Dropout dropout) {         \
    softmax_backward(scores, mask, sight, da, weights, dscores, rows, keys, first_row, heads, t, dropout);             \
  }
FOR_EACH_TYPE(SOFTMAX)
