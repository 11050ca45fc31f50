// AdamW (Loshchilov and Hutter 2019, algorithm 2) of all weights in one launch.

#include "common.cuh"

struct Weight {
  float *weight;
  const float *gradient;
  float *m, *v;
  size_t n;
};

// Block b updates `chunk` elements of one weight: those from chunk `places[b].chunk` on of weight `places[b].weight`.
struct Place {
  unsigned weight, chunk;
};

struct Rates {
  float beta1, beta2, eps, keep, step, scale_v;
};

extern "C" __global__ void adamw_f32(const Weight *weights, const Place *places, size_t chunk, Rates rates) {
  Place place = places[blockIdx.x];
  Weight all = weights[place.weight];
  size_t first = place.chunk * chunk, end = min(first + chunk, all.n);
  for (size_t i = first + threadIdx.x; i < end; i += blockDim.x) {
    float g = all.gradient[i];
    float m = all.m[i] = rates.beta1 * all.m[i] + (1.0f - rates.beta1) * g;
    float v = all.v[i] = rates.beta2 * all.v[i] + (1.0f - rates.beta2) * g * g;
    all.weight[i] = all.weight[i] * rates.keep - rates.step * m / (sqrtf(v * rates.scale_v) + rates.eps);
  }
}
