// Layer norm of `dropout(x) + residual`, or of x alone where residual is null; the sum is recomputed backward.

#include "common.cuh"

template <class T> struct Summands {
  const T *x, *residual;
  Dropout dropout;

  // N summands from `position` on.
  template <int N> __device__ Some<N, float> at(size_t position) const {
    Some<N, T> in = load<N>(x + position);
    Some<N, float> sum;
    for (int j = 0; j < N; j++) sum.v[j] = dropout.drops() ? widen(in.v[j]) * dropout.factor(position + j) : widen(in.v[j]);
    if (residual) {
      Some<N, T> rest = load<N>(residual + position);
      for (int j = 0; j < N; j++) sum.v[j] += widen(rest.v[j]);
    }
    return sum;
  }

  __device__ bool in_fours(size_t d) const { return d % 4 == 0 && aligned<4>(x) && (!residual || aligned<4>(residual)); }
};

struct Moments {
  float mean, inverse;
};

// The summands of a row into `values` of this warp, with their mean and one over their standard deviation.
template <class T>
__device__ Moments moments_of(const Summands<T> &summands, float *values, size_t first, size_t d, bool fours, float eps) {
  float sum = 0.0f, squares = 0.0f;
  over_columns(d, fours, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, float> some = summands.template at<N>(first + c);
    store<N>(values + c, some);
    for (int j = 0; j < N; j++) sum += some.v[j];
  });
  float mean = warp_sum(sum) / d;
  over_columns(d, fours, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, float> some = load<N>(values + c);
    for (int j = 0; j < N; j++) squares += (some.v[j] - mean) * (some.v[j] - mean);
  });
  return {mean, 1.0f / sqrtf(warp_sum(squares) / d + eps)};
}

// A warp a row. Shared memory: d floats a warp.
template <class T>
__device__ void layer_norm(const T *x, const T *residual, const float *gain, const float *bias, T *y, size_t rows,
                           size_t d, float eps, Dropout dropout) {
  extern __shared__ __align__(16) float shared[];
  size_t row = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP;
  if (row >= rows) return;
  const Summands<T> summands{x, residual, dropout};
  float *values = shared + threadIdx.x / WARP * d;
  bool fours = summands.in_fours(d) && aligned<4>(gain) && aligned<4>(bias) && aligned<4>(y);
  Moments of_row = moments_of(summands, values, row * d, d, fours, eps);
  over_columns(d, fours, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, float> some = load<N>(values + c), by = load<N>(gain + c), plus = load<N>(bias + c);
    Some<N, T> out;
    for (int j = 0; j < N; j++) out.v[j] = narrow<T>((some.v[j] - of_row.mean) * of_row.inverse * by.v[j] + plus.v[j]);
    store<N>(y + row * d + c, out);
  });
}

// Each warp works through rows and adds up what they give to gain and bias; the sums of each block go to `partial`
// (blocks, 2, d). With u = dy gain and h = (sum - mean) / sd: dsum = (u - mean(u) - h mean(u h)) / sd. Shared memory:
// 3 d floats a warp.
template <class T>
__device__ void layer_norm_backward(const T *x, const T *residual, const float *gain, const T *dy, T *dx, T *dresidual,
                                    float *partial, size_t rows, size_t d, float eps, Dropout dropout) {
  extern __shared__ __align__(16) float shared[];
  size_t warps = blockDim.x / WARP, warp = threadIdx.x / WARP;
  float *h = shared + warp * d, *dgain = shared + (warps + warp) * d, *dbias = shared + (2 * warps + warp) * d;
  const Summands<T> summands{x, residual, dropout};
  bool fours = summands.in_fours(d) && aligned<4>(gain) && aligned<4>(dy) && aligned<4>(dx) && aligned<4>(dresidual);
  over_columns(d, fours, [&](size_t c, auto n) {
    store<decltype(n)::value>(dgain + c, {});
    store<decltype(n)::value>(dbias + c, {});
  });
  // A lane touches columns of its own in shared memory, so that nobody waits for another warp.
  for (size_t row = blockIdx.x * warps + warp; row < rows; row += gridDim.x * warps) {
    Moments of_row = moments_of(summands, h, row * d, d, fours, eps);
    float u_sum = 0.0f, uh_sum = 0.0f;
    over_columns(d, fours, [&](size_t c, auto n) {
      constexpr int N = decltype(n)::value;
      Some<N, float> some = load<N>(h + c), by = load<N>(gain + c), to_gain = load<N>(dgain + c), to_bias = load<N>(dbias + c);
      Some<N, T> slope = load<N>(dy + row * d + c);
      for (int j = 0; j < N; j++) {
        float dy_c = widen(slope.v[j]), u = dy_c * by.v[j];
        some.v[j] = (some.v[j] - of_row.mean) * of_row.inverse;
        to_gain.v[j] += dy_c * some.v[j];
        to_bias.v[j] += dy_c;
        u_sum += u;
        uh_sum += u * some.v[j];
      }
      store<N>(h + c, some);
      store<N>(dgain + c, to_gain);
      store<N>(dbias + c, to_bias);
    });
    float u_mean = warp_sum(u_sum) / d, uh_mean = warp_sum(uh_sum) / d;
    over_columns(d, fours, [&](size_t c, auto n) {
      constexpr int N = decltype(n)::value;
      size_t i = row * d + c;
      Some<N, float> some = load<N>(h + c), by = load<N>(gain + c);
      Some<N, T> slope = load<N>(dy + i), to_x, to_residual;
      for (int j = 0; j < N; j++) {
        float dsum = (widen(slope.v[j]) * by.v[j] - u_mean - some.v[j] * uh_mean) * of_row.inverse;
        to_x.v[j] = narrow<T>(dsum * dropout.factor(i + j));
        to_residual.v[j] = narrow<T>(dsum);
      }
      store<N>(dx + i, to_x);
      if (residual) store<N>(dresidual + i, to_residual);
    });
  }
  __syncthreads();
  for (size_t c = threadIdx.x; c < 2 * d; c += blockDim.x) {
    const float *of_warps = shared + (c < d ? warps * d + c : 2 * warps * d + c - d);
    float sum = 0.0f;
    for (size_t i = 0; i < warps; i++) sum += of_warps[i * d];
    partial[blockIdx.x * 2 * d + c] = sum;
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
