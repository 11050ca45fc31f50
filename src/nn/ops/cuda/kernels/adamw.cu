// AdamW (Loshchilov and Hutter 2019, algorithm 2) of all weights in one launch.

#include "common.cuh"

struct Weight {
  float *weight;
  const float *gradient;
  float *m, *v;
  size_t n;
};

struct Rates {
  float beta1, beta2, eps, keep, step, scale_v;
};

template <int N> __device__ void update(const Weight &all, size_t i, const Rates &rates) {
  Some<N, float> w = load<N>(all.weight + i), g = load<N>(all.gradient + i), m = load<N>(all.m + i), v = load<N>(all.v + i);
  for (int j = 0; j < N; j++) {
    m.v[j] = rates.beta1 * m.v[j] + (1.0f - rates.beta1) * g.v[j];
    v.v[j] = rates.beta2 * v.v[j] + (1.0f - rates.beta2) * g.v[j] * g.v[j];
    w.v[j] = w.v[j] * rates.keep - rates.step * m.v[j] / (sqrtf(v.v[j] * rates.scale_v) + rates.eps);
  }
  store<N>(all.weight + i, w);
  store<N>(all.m + i, m);
  store<N>(all.v + i, v);
}

extern "C" __global__ void adamw_f32(const __grid_constant__ Table<Weight> weights, size_t chunk, Rates rates) {
  Place place = weights.place_of_block();
  Weight all = weights.tensors[place.tensor];
  bool fours = aligned<4>(all.weight) && aligned<4>(all.gradient) && aligned<4>(all.m) && aligned<4>(all.v);
  over_chunk(place, chunk, all.n, fours, [&](size_t i, auto n) { update<decltype(n)::value>(all, i, rates); });
}
