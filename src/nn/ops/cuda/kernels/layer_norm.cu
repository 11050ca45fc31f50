// Layer norm of `dropout(x) + residual`, or of x alone where residual is null; the sum is recomputed backward.

#include "common.cuh"

// A row of what is normalised, into shared memory.
template <class T>
__device__ inline float summand(const T *x, const T *residual, const Dropout &dropout, size_t position) {
  float sum = widen(x[position]) * dropout.factor(position);
  return residual ? sum + widen(residual[position]) : sum;
}

// A warp a row. Shared memory: d floats a warp.
template <class T>
__device__ void layer_norm(const T *x, const T *residual, const float *gain, const float *bias, T *y, size_t rows,
                           size_t d, float eps, Dropout dropout) {
  extern __shared__ float shared[];
  size_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  size_t row = blockIdx.x * size_t(blockDim.x / WARP) + warp;
  if (row >= rows) return;
  float *values = shared + warp * d;
  float sum = 0.0f, squares = 0.0f;
  for (size_t c = lane; c < d; c += WARP) sum += values[c] = summand(x, residual, dropout, row * d + c);
  float mean = warp_sum(sum) / d;
  for (size_t c = lane; c < d; c += WARP) squares += (values[c] - mean) * (values[c] - mean);
  float inverse = 1.0f / sqrtf(warp_sum(squares) / d + eps);
  for (size_t c = lane; c < d; c += WARP)
    y[row * d + c] = narrow<T>((values[c] - mean) * inverse * gain[c] + bias[c]);
}

// A block works through rows and adds up what they give to gain and bias; the sums of each block go to `partial`
// (blocks, 2, d). With u = dy gain and h = (sum - mean) / sd: dsum = (u - mean(u) - h mean(u h)) / sd. Shared memory:
// 3 d floats and one a warp.
template <class T>
__device__ void layer_norm_backward(const T *x, const T *residual, const float *gain, const T *dy, T *dx, T *dresidual,
                                    float *partial, size_t rows, size_t d, float eps, Dropout dropout) {
  extern __shared__ float shared[];
  float *h = shared, *dgain = shared + d, *dbias = shared + 2 * d, *scratch = shared + 3 * d;
  for (size_t c = threadIdx.x; c < d; c += blockDim.x) dgain[c] = dbias[c] = 0.0f;
  // Each thread touches columns of its own in shared memory, so that only the sums need barriers.
  for (size_t row = blockIdx.x; row < rows; row += gridDim.x) {
    float sum = 0.0f, squares = 0.0f, u_sum = 0.0f, uh_sum = 0.0f;
    for (size_t c = threadIdx.x; c < d; c += blockDim.x) sum += h[c] = summand(x, residual, dropout, row * d + c);
    float mean = block_sum(sum, scratch) / d;
    for (size_t c = threadIdx.x; c < d; c += blockDim.x) squares += (h[c] - mean) * (h[c] - mean);
    float inverse = 1.0f / sqrtf(block_sum(squares, scratch) / d + eps);
    for (size_t c = threadIdx.x; c < d; c += blockDim.x) {
      float dy_c = widen(dy[row * d + c]), u = dy_c * gain[c];
      h[c] = (h[c] - mean) * inverse;
      dgain[c] += dy_c * h[c];
      dbias[c] += dy_c;
      u_sum += u;
      uh_sum += u * h[c];
    }
    float u_mean = block_sum(u_sum, scratch) / d, uh_mean = block_sum(uh_sum, scratch) / d;
    for (size_t c = threadIdx.x; c < d; c += blockDim.x) {
      size_t i = row * d + c;
      float dsum = (widen(dy[i]) * gain[c] - u_mean - h[c] * uh_mean) * inverse;
      dx[i] = narrow<T>(dsum * dropout.factor(i));
      if (residual) dresidual[i] = narrow<T>(dsum);
    }
  }
  for (size_t c = threadIdx.x; c < d; c += blockDim.x) {
    partial[blockIdx.x * 2 * d + c] = dgain[c];
    partial[blockIdx.x * 2 * d + d + c] = dbias[c];
  }
}

#define LAYER_NORM(S, T)                                                                                               \
  extern "C" __global__ void layer_norm_##S(const T *x, const T *residual, const float *gain, const float *bias, T *y, \
                                            size_t rows, size_t d, float eps, Dropout dropout) {                       \
    layer_norm(x, residual, gain, bias, y, rows, d, eps, dropout);                                                     \
  }                                                                                                                    \
  extern "C" __global__ void layer_norm_backward_##S(const T *x, const T *residual, const float *gain, const T *dy,    \
                                                     T *dx, T *dresidual, float *partial, size_t rows, size_t d,       \
                                                     float eps, Dropout dropout) {                                     \
    layer_norm_backward(x, residual, gain, dy, dx, dresidual, partial, rows, d, eps, dropout);                         \
  }
FOR_EACH_TYPE(LAYER_NORM)
