// Cross-entropy with a label a row of logits (rows, classes). A block a row. A label that is no class makes the loss
// NaN: the host cannot look without waiting for the device.

#include "common.cuh"

template <class T> __device__ Softmax softmax_of(const T *logits, size_t classes) {
  __shared__ float scratch[2 * 32];
  Softmax all;
  for (size_t c = threadIdx.x; c < classes; c += blockDim.x) all.add(widen(logits[c]));
  all.over_block(scratch);
  return all;
}

template <class T> __device__ void cross_entropy(const T *logits, const unsigned *labels, float *losses, size_t classes) {
  logits += blockIdx.x * classes;
  Softmax all = softmax_of(logits, classes);
  unsigned label = labels[blockIdx.x];
  if (threadIdx.x == 0)
    losses[blockIdx.x] = label < classes ? logf(all.sum) + all.max - widen(logits[label]) : nanf("");
}

// (softmax - onehot) dloss / rows.
template <class T>
__device__ void cross_entropy_backward(const T *logits, const unsigned *labels, const float *dloss, T *dlogits,
                                       size_t classes) {
  logits += blockIdx.x * classes;
  dlogits += blockIdx.x * classes;
  Softmax all = softmax_of(logits, classes);
  unsigned label = labels[blockIdx.x];
  float upstream = *dloss / gridDim.x;
  for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
    dlogits[c] = narrow<T>((all.weight(widen(logits[c])) - (c == label ? 1.0f : 0.0f)) * upstream);
}

#define CROSS_ENTROPY(S, T)                                                                                            \
  extern "C" __global__ void cross_entropy_##S(const T *logits, const unsigned *labels, float *losses,                 \
                                               size_t classes) {                                                       \
    cross_entropy(logits, labels, losses, classes);                                                                    \
  }                                                                                                                    \
  extern "C" __global__ void cross_entropy_backward_##S(const T *logits, const unsigned *labels, const float *dloss,   \
                                                        T *dlogits, size_t classes) {                                  \
    cross_entropy_backward(logits, labels, dloss, dlogits, classes);                                                   \
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
