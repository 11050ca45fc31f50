// Root mean square norm (Zhang and Sennrich 2019, equation 4).

#include "common.cuh"

// One over the root mean square of a row.
template <class T> __device__ float inverse_of(const T *x, size_t d, bool fours, float eps) {
  float squares = 0.0f;
  over_columns(d, fours, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, T> some = load<N>(x + c);
    for (int j = 0; j < N; j++) squares += widen(some.v[j]) * widen(some.v[j]);
  });
  return 1.0f / sqrtf(warp_sum(squares) / d + eps);
}

// A warp a row.
template <class T>
__device__ void rms_norm(const T *x, const float *gain, T *y, size_t rows, size_t d, float eps) {
  size_t row = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP;
  if (row >= rows) return;
  bool fours = d % 4 == 0 && aligned<4>(x) && aligned<4>(gain) && aligned<4>(y);
  float inverse = inverse_of(x + row * d, d, fours, eps);
  over_columns(d, fours, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, T> some = load<N>(x + row * d + c), out;
    Some<N, float> by = load<N>(gain + c);
    for (int j = 0; j < N; j++) out.v[j] = narrow<T>(widen(some.v[j]) * inverse * by.v[j]);
    store<N>(y + row * d + c, out);
  });
}

// Each warp works through rows and adds up what they give to gain; the sums of each block go to `partial` (blocks, d). With
// u = dy gain and h = x / rms: dx = (u - h mean(u h)) / rms. Shared memory: d floats a warp.
template <class T>
__device__ void rms_norm_backward(const T *x, const float *gain, const T *dy, T *dx, float *partial, size_t rows, size_t d,
                                  float eps) {
  extern __shared__ __align__(16) float shared[];
  size_t warps = blockDim.x / WARP, warp = threadIdx.x / WARP;
  float *dgain = shared + warp * d;
  bool fours = d % 4 == 0 && aligned<4>(x) && aligned<4>(gain) && aligned<4>(dy) && aligned<4>(dx);
  over_columns(d, fours, [&](size_t c, auto n) { store<decltype(n)::value>(dgain + c, {}); });
  // A lane touches columns of its own in shared memory, so that nobody waits for another warp.
  for (size_t row = blockIdx.x * warps + warp; row < rows; row += gridDim.x * warps) {
    float inverse = inverse_of(x + row * d, d, fours, eps), uh_sum = 0.0f;
    over_columns(d, fours, [&](size_t c, auto n) {
      constexpr int N = decltype(n)::value;
      Some<N, T> some = load<N>(x + row * d + c), slope = load<N>(dy + row * d + c);
      Some<N, float> by = load<N>(gain + c), to_gain = load<N>(dgain + c);
      for (int j = 0; j < N; j++) {
        float h = widen(some.v[j]) * inverse, dy_c = widen(slope.v[j]);
        to_gain.v[j] += dy_c * h;
        uh_sum += dy_c * by.v[j] * h;
      }
      store<N>(dgain + c, to_gain);
    });
    float uh_mean = warp_sum(uh_sum) / d;
    over_columns(d, fours, [&](size_t c, auto n) {
      constexpr int N = decltype(n)::value;
      Some<N, T> some = load<N>(x + row * d + c), slope = load<N>(dy + row * d + c), out;
      Some<N, float> by = load<N>(gain + c);
      for (int j = 0; j < N; j++)
        out.v[j] = narrow<T>((widen(slope.v[j]) * by.v[j] - widen(some.v[j]) * inverse * uh_mean) * inverse);
      store<N>(dx + row * d + c, out);
    });
  }
  __syncthreads();
  for (size_t c = threadIdx.x; c < d; c += blockDim.x) {
    float sum = 0.0f;
    for (size_t i = 0; i < warps; i++) sum += shared[i * d + c];
    partial[blockIdx.x * d + c] = sum;
  }
}

#define RMS_NORM(S, T)                                                                                                 \
  extern "C" __global__ void rms_norm_##S(const T *x, const float *gain, T *y, size_t rows, size_t d, float eps) {     \
    rms_norm(x, gain, y, rows, d, eps);                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void rms_norm_backward_##S(const T *x, const float *gain, const T *dy, T *dx, float *partial,  \
                                                   size_t rows, size_t d, float eps) {                                 \
    rms_norm_backward(x, gain, dy, dx, partial, rows, d, eps);                                                         \
  }
FOR_EACH_TYPE(RMS_NORM)
