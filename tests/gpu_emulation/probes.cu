// Small kernels, right ones and wrong ones: what the emulation must find, and what it must let pass.

#include "matrix_units.cuh"

// Sums over a block, one after the other in the same scratch.
extern "C" __global__ void two_block_sums(const float *x, float *sums) {
  __shared__ float scratch[32];
  float first = block_sum(x[threadIdx.x], scratch), second = block_sum(2.0f * x[threadIdx.x], scratch);
  if (threadIdx.x == 0) {
    sums[0] = first;
    sums[1] = second;
  }
}

extern "C" __global__ void two_block_softmaxes(const float *x, float *sums) {
  __shared__ float scratch[2 * 32];
  for (int i = 0; i < 2; i++) {
    Softmax all;
    all.add(x[threadIdx.x]);
    all.over_block(scratch);
    if (threadIdx.x == 0) sums[i] = all.sum;
  }
}

// Each lane hands a number to the next one of its warp. Lanes do not run in lockstep.
template <class F> __device__ void hand_on(const float *x, float *y, F wait) {
  __shared__ float handed[64];
  handed[threadIdx.x] = x[threadIdx.x];
  wait();
  y[threadIdx.x] = handed[threadIdx.x / WARP * WARP + (threadIdx.x + 1) % WARP];
}
extern "C" __global__ void lockstep(const float *x, float *y) { hand_on(x, y, [] {}); }
extern "C" __global__ void warp_barrier(const float *x, float *y) { hand_on(x, y, [] { __syncwarp(); }); }
extern "C" __global__ void shuffle_as_barrier(const float *x, float *y) {
  hand_on(x, y, [] { __shfl_xor_sync(0xffffffffu, 1.0f, 1); });
}
// To the next warp, which a barrier of a warp does not wait for.
extern "C" __global__ void warp_barrier_between_warps(const float *x, float *y) {
  __shared__ float handed[64];
  handed[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = handed[(threadIdx.x + WARP) % 64];
}

extern "C" __global__ void atomic_sum(float *sum) { atomicAdd(sum, 1.0f); }
extern "C" __global__ void atomic_sum_that_is_read(float *sum, float *y) {
  atomicAdd(sum, 1.0f);
  y[blockIdx.x * blockDim.x + threadIdx.x] = *sum;
}
// Block 0 leaves something for block 1.
extern "C" __global__ void between_blocks(float *x, float *y) {
  if (blockIdx.x == 0) x[threadIdx.x] = 1.0f;
  if (blockIdx.x == 1) y[threadIdx.x] = x[threadIdx.x];
}
// Bytes that lie next to each other are nobody else's.
extern "C" __global__ void neighbouring_bytes(unsigned char *x) { x[blockIdx.x * blockDim.x + threadIdx.x] = 1; }

extern "C" __global__ void divergent_barriers(float *x) {
  if (threadIdx.x < WARP) {
    __syncthreads();
    x[threadIdx.x] = 1.0f;
  } else {
    __syncthreads();
    x[threadIdx.x] = 2.0f;
  }
}
extern "C" __global__ void missed_barrier(float *x) {
  if (threadIdx.x % WARP != 3) __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  __syncthreads();
}
// An early end of lanes that others ask.
extern "C" __global__ void shuffle_with_the_dead(float *x) {
  if (threadIdx.x == 5) return;
  x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
extern "C" __global__ void unwritten_shared(float *x) {
  __shared__ float some[64];
  if (threadIdx.x != 9) some[threadIdx.x] = 1.0f;
  x[threadIdx.x] = some[threadIdx.x];
}
extern "C" __global__ void beyond_shared(float *x) {
  extern __shared__ float all[];
  all[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void beyond_the_end(const float *x, float *y, size_t n) {
  if (threadIdx.x <= n) y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void misaligned(const float *x, float *y) {
  if (threadIdx.x == 0) store<2>(y, load<2>(x + 1));
}

// Variables outside functions are not watched; that the order of threads matters shows if they run in two.
__device__ unsigned arrivals;
extern "C" __global__ void order_of_threads(float *x) { x[threadIdx.x] = float(arrivals++ % 64); }

// Two tiles of 16 bytes a thread are copied while something else is done.
template <class F> __device__ void copies(float *x, float *y, F f) {
  __shared__ __align__(16) float tiles[2][64][4];
  for (int i = 0; i < 2; i++) {
    copy_16_bytes(tiles[i][threadIdx.x], x + 256 * i + 4 * threadIdx.x, true);
    end_of_copies();
  }
  f(tiles, 0);
  end_of_copies();
  f(tiles, 1);
}
// The first tile is there, the second is not.
extern "C" __global__ void copies_in_order(float *x, float *y) {
  copies(x, y, [=](float(&tiles)[2][64][4], int i) {
    wait_for_all_but_the_last();
    y[256 * i + 4 * threadIdx.x] = tiles[i][threadIdx.x][0];
  });
}
extern "C" __global__ void copy_that_has_not_landed(float *x, float *y) {
  copies(x, y, [=](float(&tiles)[2][64][4], int i) {
    wait_for_all_but_the_last();
    y[256 * i + 4 * threadIdx.x] = tiles[1][threadIdx.x][0];
  });
}
extern "C" __global__ void copy_of_another_thread(float *x, float *y) {
  copies(x, y, [=](float(&tiles)[2][64][4], int i) {
    wait_for_all_but_the_last();
    y[256 * i + 4 * threadIdx.x] = tiles[i][63 - threadIdx.x][0];
  });
}
extern "C" __global__ void copy_of_what_changes(float *x, float *y) {
  copies(x, y, [=](float(&)[2][64][4], int i) {
    x[256 * i + 4 * threadIdx.x] = 5.0f;
    wait_for_all_but_the_last();
  });
}
extern "C" __global__ void copy_over_what_is_read(float *x, float *y) {
  __shared__ __align__(16) float tile[64][4];
  for (int i = 0; i < 4; i++) tile[threadIdx.x][i] = x[i];
  __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x][0];
  copy_16_bytes(tile[threadIdx.x], x + 4 * threadIdx.x, true);
  end_of_copies();
  end_of_copies();
  wait_for_all_but_the_last();
}
extern "C" __global__ void copy_that_is_left(float *x, float *y) {
  copies(x, y, [](float(&)[2][64][4], int) {});
}
