// Cross-entropy with a label a row of logits, of `classes` numbers; rows are `stride` apart. A block a row. A label that is no
// class makes the loss NaN: the host cannot look without waiting for the device.

#include "common.cuh"

// What is loaded at once.
template <class T> constexpr int PART = 16 / sizeof(T);

// `f(c, N)` for the classes that are this thread's, N of them at a time: 16 bytes where `parts`, else one.
template <class T, class F> __device__ void over_classes(size_t classes, bool parts, F f) {
  size_t whole = parts ? classes / PART<T> * PART<T> : 0;
  for (size_t c = PART<T> * threadIdx.x; c < whole; c += PART<T> * blockDim.x) f(c, std::integral_constant<int, PART<T>>());
  for (size_t c = whole + threadIdx.x; c < classes; c += blockDim.x) f(c, std::integral_constant<int, 1>());
}

template <class T> __device__ Softmax softmax_of(const T *logits, size_t classes, bool parts) {
  __shared__ float scratch[2 * 32];
  Softmax all;
  over_classes<T>(classes, parts, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, T> some = load<N>(logits + c);
    float x[N];
    for (int j = 0; j < N; j++) x[j] = widen(some.v[j]);
    all.add(x);
  });
  all.over_block(scratch);
  return all;
}

template <class T>
__device__ void cross_entropy(const T *logits, const unsigned *labels, float *losses, size_t classes, size_t stride) {
  logits += blockIdx.x * stride;
  Softmax all = softmax_of(logits, classes, aligned<PART<T>>(logits));
  unsigned label = labels[blockIdx.x];
  if (threadIdx.x == 0)
    losses[blockIdx.x] = label < classes ? logf(all.sum) + all.max - widen(logits[label]) : nanf("");
}

// (softmax - onehot) dloss / rows, and zeros in what is left of a row of `dlogits`, which may be the logits themselves: a thread
// writes what it alone has read, once all have taken their part of the sum.
template <class T>
__device__ void cross_entropy_backward(const T *logits, const unsigned *labels, const float *dloss, T *dlogits,
                                       size_t classes, size_t stride, size_t rows) {
  logits += blockIdx.x * stride;
  dlogits += blockIdx.x * stride;
  bool parts = aligned<PART<T>>(logits) && aligned<PART<T>>(dlogits);
  Softmax all = softmax_of(logits, classes, parts);
  unsigned label = labels[blockIdx.x];
  float upstream = *dloss / rows;
  over_classes<T>(classes, parts, [&](size_t c, auto n) {
    constexpr int N = decltype(n)::value;
    Some<N, T> some = load<N>(logits + c);
    for (int j = 0; j < N; j++)
      some.v[j] = narrow<T>((all.weight(widen(some.v[j])) - (c + j == label ? 1.0f : 0.0f)) * upstream);
    store<N>(dlogits + c, some);
  });
  for (size_t c = classes + threadIdx.x; c < stride; c += blockDim.x) dlogits[c] = narrow<T>(0.0f);
}

#define CROSS_ENTROPY(S, T)                                                                                            \
  extern "C" __global__ void cross_entropy_##S(const T *logits, const unsigned *labels, float *losses, size_t classes, \
                                               size_t stride) {                                                        \
    cross_entropy(logits, labels, losses, classes, stride);                                                            \
  }                                                                                                                    \
  extern "C" __global__ void cross_entropy_backward_##S(const T *logits, const unsigned *labels, const float *dloss,   \
                                                        T *dlogits, size_t classes, size_t stride, size_t rows) {      \
    cross_entropy_backward(logits, labels, dloss, dlogits, classes, stride, rows);                                     \
  }
FOR_EACH_TYPE(CROSS_ENTROPY)

// The mean of n numbers, by one block.
extern "C" __global__ void mean_f32(const float *x, float *mean, size_t n) {
  __shared__ float scratch[32];
  float sum = 0.0f;
  for (size_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) *mean = sum / n;
}
