// One pass over elements: activations, dropout, casts, sums, biases, columns, and the order of heads. Any grid of any blocks.

#include "common.cuh"

// The distribution function of the normal, to 1e-7. `erfcf` is exact near 0 too, where it is multiplied by a small x, and is a
// longer computation.
__device__ inline float normal_cdf(float x) { return 0.5f + 0.5f * erff(0.70710678f * x); }

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

// Functions of each element, and their slopes.
struct Gelu {
  __device__ static float value(float x) { return x * normal_cdf(x); }
  __device__ static float slope(float x) { return normal_cdf(x) + x * 0.39894228f * __expf(-0.5f * x * x); }
};

struct Tanh {
  __device__ static float value(float x) { return tanhf(x); }
  __device__ static float slope(float x) { return 1.0f - tanhf(x) * tanhf(x); }
};

// GELU with a hyperbolic tangent in place of the normal's distribution function (Hendrycks and Gimpel 2016, section 2).
struct GeluTanh {
  static constexpr float TWICE_ROOT = 1.59576912f, CUBIC = 0.044715f;

  __device__ static float value(float x) { return x * sigmoid(TWICE_ROOT * x * (1.0f + CUBIC * x * x)); }
  __device__ static float slope(float x) {
    float s = sigmoid(TWICE_ROOT * x * (1.0f + CUBIC * x * x));
    return s + x * s * (1.0f - s) * TWICE_ROOT * (1.0f + 3.0f * CUBIC * x * x);
  }
};

struct Silu {
  __device__ static float value(float x) { return x * sigmoid(x); }
  __device__ static float slope(float x) {
    float s = sigmoid(x);
    return s + x * s * (1.0f - s);
  }
};

struct Relu {
  __device__ static float value(float x) { return x > 0.0f ? x : 0.0f; }
  __device__ static float slope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
};

// The gradients of f(gate) up for both, 16 bytes of the inputs at a time.
template <class F, class T>
__device__ void gate_backward(const T *gate, const T *up, const T *dy, T *dgate, T *dup, size_t n) {
  map(n, [](size_t, float gate, float up, float dy) { return dy * up * F::slope(gate); }, dgate, gate, up, dy);
  map(n, [](size_t, float gate, float dy) { return dy * F::value(gate); }, dup, gate, dy);
}

// Each function alone, and as the gate of a feed-forward block (Shazeer 2020, equation 5).
#define ACTIVATION(NAME, F, S, T)                                                                                      \
  extern "C" __global__ void NAME##_##S(const T *x, T *y, size_t n) {                                                  \
    map(n, [](size_t, float x) { return F::value(x); }, y, x);                                                         \
  }                                                                                                                    \
  extern "C" __global__ void NAME##_backward_##S(const T *x, const T *dy, T *dx, size_t n) {                           \
    map(n, [](size_t, float x, float dy) { return dy * F::slope(x); }, dx, x, dy);                                     \
  }                                                                                                                    \
  extern "C" __global__ void NAME##_gate_##S(const T *gate, const T *up, T *y, size_t n) {                             \
    map(n, [](size_t, float gate, float up) { return F::value(gate) * up; }, y, gate, up);                             \
  }                                                                                                                    \
  extern "C" __global__ void NAME##_gate_backward_##S(const T *gate, const T *up, const T *dy, T *dgate, T *dup,       \
                                                      size_t n) {                                                      \
    gate_backward<F>(gate, up, dy, dgate, dup, n);                                                                     \
  }
#define ACTIVATIONS(S, T)                                                                                              \
  ACTIVATION(gelu, Gelu, S, T)                                                                                         \
  ACTIVATION(tanh, Tanh, S, T)                                                                                         \
  ACTIVATION(gelu_tanh, GeluTanh, S, T)                                                                                \
  ACTIVATION(silu, Silu, S, T)                                                                                         \
  ACTIVATION(relu, Relu, S, T)
FOR_EACH_TYPE(ACTIVATIONS)

#define DROPOUT(S, T)                                                                                                  \
  extern "C" __global__ void dropout_##S(const T *x, T *y, size_t n, Dropout dropout) {                                \
    map(n, [=](size_t i, float x) { return x * dropout.factor(i); }, y, x);                                            \
  }
FOR_EACH_TYPE(DROPOUT)

// y = residual + dropout(x)
#define ADD_DROPPED(S, T)                                                                                              \
  extern "C" __global__ void add_dropped_##S(const T *x, const T *residual, T *y, size_t n, Dropout dropout) {         \
    map(n, [=](size_t i, float x, float r) { return r + (dropout.drops() ? x * dropout.factor(i) : x); }, y, x, residual); \
  }
FOR_EACH_TYPE(ADD_DROPPED)

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

// `f(i, at, N)` for the n elements of (n / columns, columns), N of them at a time from i on, which stand from `at` on among
// rows of `stride` whose columns begin at `first`.
template <class F> __device__ void over_columns_of(size_t n, size_t columns, size_t stride, size_t first, bool eights, F f) {
  auto over = [&](auto several) {
    constexpr size_t N = decltype(several)::value;
    size_t step = gridDim.x * size_t(blockDim.x) * N;
    for (size_t i = (blockIdx.x * size_t(blockDim.x) + threadIdx.x) * N; i < n; i += step)
      f(i, n >> 32 ? i / columns * stride + i % columns + first
                   : size_t(unsigned(i) / unsigned(columns)) * stride + unsigned(i) % unsigned(columns) + first, several);
  };
  if (eights && columns % 8 == 0 && stride % 8 == 0 && first % 8 == 0)
    over(std::integral_constant<int, 8>());
  else
    over(std::integral_constant<int, 1>());
}

// y (n / columns, columns) = the columns of x (n / columns, stride) from `first` on, and sum += x the other way round.
#define COLUMNS(S, T)                                                                                                  \
  extern "C" __global__ void take_columns_##S(const T *x, T *y, size_t n, size_t columns, size_t stride,               \
                                              size_t first) {                                                          \
    over_columns_of(n, columns, stride, first, aligned<8>(x) && aligned<8>(y), [&](size_t i, size_t at, auto several) { \
      constexpr int N = decltype(several)::value;                                                                      \
      store<N>(y + i, load<N>(x + at));                                                                                \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void add_columns_##S(const T *x, T *sum, size_t n, size_t columns, size_t stride,              \
                                             size_t first) {                                                           \
    over_columns_of(n, columns, stride, first, aligned<8>(x) && aligned<8>(sum), [&](size_t i, size_t at, auto several) { \
      constexpr int N = decltype(several)::value;                                                                      \
      Some<N, T> some = load<N>(x + i), to = load<N>(sum + at);                                                        \
      for (int j = 0; j < N; j++) to.v[j] = narrow<T>(widen(to.v[j]) + widen(some.v[j]));                              \
      store<N>(sum + at, to);                                                                                          \
    });                                                                                                                \
  }
FOR_EACH_TYPE(COLUMNS)

// Heads of d_head elements turned by their positions, of which the first 2 `pairs` are turned and the rest is copied: x and y
// are (rows, heads, d_head), of which row r has position r % t; `cos` and `sin` are (t, pairs) of f32. `sign` is 1, or -1 to
// turn back (Su et al. 2021, equation 15).
#define TURN(S, T)                                                                                                     \
  extern "C" __global__ void turn_##S(const T *x, const float *cos, const float *sin, T *y, size_t n, size_t t,        \
                                      size_t heads, size_t d_head, size_t pairs, float sign) {                         \
    unsigned step = gridDim.x * blockDim.x, eights = d_head / 8;                                                       \
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < unsigned(n); i += step) {                             \
      unsigned head = i / eights, pair = i % eights * 4, position = head / unsigned(heads) % unsigned(t);              \
      size_t first = size_t(head) * d_head;                                                                            \
      if (pair >= pairs) {                                                                                             \
        store<4>(y + first + 2 * pair, load<4>(x + first + 2 * pair));                                                 \
        store<4>(y + first + 2 * pair + 4, load<4>(x + first + 2 * pair + 4));                                         \
        continue;                                                                                                      \
      }                                                                                                                \
      const T *low = x + first + pair;                                                                                 \
      Some<4, T> a = load<4>(low), b = load<4>(low + pairs);                                                           \
      Some<4, float> c = load<4>(cos + position * pairs + pair), s = load<4>(sin + position * pairs + pair);           \
      for (int j = 0; j < 4; j++) {                                                                                    \
        float of_low = widen(a.v[j]), of_high = widen(b.v[j]), by = sign * s.v[j];                                     \
        a.v[j] = narrow<T>(of_low * c.v[j] - of_high * by);                                                            \
        b.v[j] = narrow<T>(of_high * c.v[j] + of_low * by);                                                            \
      }                                                                                                                \
      store<4>(y + first + pair, a);                                                                                   \
      store<4>(y + first + pairs + pair, b);                                                                           \
    }                                                                                                                  \
  }
FOR_EACH_TYPE(TURN)

// y (groups x each, width) = every row of x (groups, width) `each` times, and its gradient, sums of so many rows.
#define REPEAT_HEADS(S, T)                                                                                             \
  extern "C" __global__ void repeat_heads_##S(const T *x, T *y, size_t n, size_t width, size_t each) {                 \
    map(n, [=](size_t i) { return widen(x[i / width / each * width + i % width]); }, y);                               \
  }                                                                                                                    \
  extern "C" __global__ void sum_heads_##S(const T *x, T *y, size_t n, size_t width, size_t each) {                    \
    map(n,                                                                                                             \
        [=](size_t i) {                                                                                                \
          float sum = 0.0f;                                                                                            \
          for (size_t j = 0; j < each; j++) sum += widen(x[(i / width * each + j) * width + i % width]);               \
          return sum;                                                                                                  \
        },                                                                                                             \
        y);                                                                                                            \
  }
FOR_EACH_TYPE(REPEAT_HEADS)
