// One pass over elements: GELU, tanh, dropout, casts, sums, biases, and the order of heads. Any grid of any blocks.

#include "common.cuh"

// The distribution function of the normal, to 1e-7. `erfcf` is exact near 0 too, where it is multiplied by a small x, and is a
// longer computation.
__device__ inline float normal_cdf(float x) { return 0.5f + 0.5f * erff(0.70710678f * x); }

#define GELU(S, T)                                                                                                     \
  extern "C" __global__ void gelu_##S(const T *x, T *y, size_t n) {                                                    \
    map(n, [](size_t, float x) { return x * normal_cdf(x); }, y, x);                                                   \
  }                                                                                                                    \
  extern "C" __global__ void gelu_backward_##S(const T *x, const T *dy, T *dx, size_t n) {                             \
    map(n,                                                                                                             \
        [](size_t, float x, float dy) {                                                                                \
          return dy * (normal_cdf(x) + x * 0.39894228f * __expf(-0.5f * x * x));                                       \
        },                                                                                                             \
        dx, x, dy);                                                                                                    \
  }
FOR_EACH_TYPE(GELU)

#define TANH(S, T)                                                                                                     \
  extern "C" __global__ void tanh_##S(const T *x, T *y, size_t n) {                                                    \
    map(n, [](size_t, float x) { return tanhf(x); }, y, x);                                                            \
  }                                                                                                                    \
  extern "C" __global__ void tanh_backward_##S(const T *x, const T *dy, T *dx, size_t n) {                             \
    map(n, [](size_t, float x, float dy) { return dy * (1.0f - tanhf(x) * tanhf(x)); }, dx, x, dy);                    \
  }
FOR_EACH_TYPE(TANH)

#define DROPOUT(S, T)                                                                                                  \
  extern "C" __global__ void dropout_##S(const T *x, T *y, size_t n, Dropout dropout) {                                \
    map(n, [=](size_t i, float x) { return x * dropout.factor(i); }, y, x);                                            \
  }
FOR_EACH_TYPE(DROPOUT)

#define CAST(FROM, F, TO, T)                                                                                           \
  extern "C" __global__ void cast_##FROM##_##TO(const F *x, T *y, size_t n) {                                          \
    map(n, [](size_t, float x) { return x; }, y, x);                                                                   \
  }                                                                                                                    \
  /* sum += x */                                                                                                       \
  extern "C" __global__ void add_##FROM##_##TO(const F *x, T *sum, size_t n) {                                         \
    map(n, [](size_t, float x, float sum) { return sum + x; }, sum, x, sum);                                           \
  }
CAST(f32, float, f32, float)
CAST(f32, float, bf16, bf16)
CAST(f32, float, f16, f16)
CAST(bf16, bf16, f32, float)
CAST(bf16, bf16, bf16, bf16)
CAST(f16, f16, f32, float)
CAST(f16, f16, f16, f16)

// Many tensors in one launch.
template <class T> struct Copied {
  const float *x;
  T *y;
  size_t n;
};

#define CAST_MANY(S, T)                                                                                                \
  extern "C" __global__ void cast_many_##S(const __grid_constant__ Table<Copied<T>> copied, size_t chunk) {            \
    Place place = copied.place_of_block();                                                                             \
    Copied<T> of = copied.tensors[place.tensor];                                                                       \
    over_chunk(place, chunk, of.n, aligned<4>(of.x) && aligned<4>(of.y), [&](size_t i, auto n) {                       \
      constexpr int N = decltype(n)::value;                                                                            \
      Some<N, float> in = load<N>(of.x + i);                                                                           \
      Some<N, T> out;                                                                                                  \
      for (int j = 0; j < N; j++) out.v[j] = narrow<T>(in.v[j]);                                                       \
      store<N>(of.y + i, out);                                                                                         \
    });                                                                                                                \
  }
CAST_MANY(bf16, bf16)
CAST_MANY(f16, f16)

// Every row of y, whose rows are `stride` apart, begins as `row` does, and is zero beyond its columns.
#define REPEAT(S, T)                                                                                                   \
  extern "C" __global__ void repeat_##S(const float *row, T *y, size_t n, size_t stride, size_t columns) {             \
    map(n, [=](size_t i) { return i % stride < columns ? row[i % stride] : 0.0f; }, y);                                \
  }
FOR_EACH_TYPE(REPEAT)

// Where element i of (B, heads, rows, width) stands in (B, rows, heads, width). Of 32 bits a division takes a fourth of the
// instructions that it takes of 64.
template <class I> __device__ I swapped(I i, I rows, I heads, I width) {
  I column = i % width, row = i / width % rows, head = i / width / rows % heads, sequence = i / width / rows / heads;
  return ((sequence * rows + row) * heads + head) * width + column;
}

// (B, rows, heads, width) to (B, heads, rows, width): with rows and heads exchanged, back again.
#define SWAP_AXES(S, T)                                                                                                \
  extern "C" __global__ void swap_axes_##S(const T *x, T *y, size_t n, size_t rows, size_t heads, size_t width) {      \
    map(n,                                                                                                             \
        [=](size_t i) { return widen(n >> 32 ? x[swapped(i, rows, heads, width)]                                       \
                                             : x[swapped(unsigned(i), unsigned(rows), unsigned(heads), unsigned(width))]); }, \
        y);                                                                                                            \
  }
FOR_EACH_TYPE(SWAP_AXES)
