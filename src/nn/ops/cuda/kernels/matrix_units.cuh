// What needs the assembly of GPUs of compute capability 8.0 and newer (PTX ISA 8.5): the matrix units of a warp, for factors
// of 16 bits or of TF32 and sums in f32 (sections 9.7.14.5.8 `mma.m16n8k16`, 9.7.14.5.6 `mma.m16n8k8` and 9.7.14.5.15
// `ldmatrix`), copies into shared memory that the threads do not wait for (section 9.7.9.25), powers of two (9.7.3.20 `ex2`)
// and bytes picked out of words (9.7.9.7 `prmt`).
//
// How a warp holds its matrices; `row` is lane / 4 and `pair` is lane % 4 * 2. Two 16-bit numbers are a register, that of
// the lower column in its lower half:
//
//   factor A, 16 x 16   a[0] at (row, pair), a[1] at (row + 8, pair), a[2] at (row, pair + 8), a[3] at (row + 8, pair + 8)
//   factor B, 16 x 8    b0 at (pair, row), b1 at (pair + 8, row): two rows of a column are a register
//   sum C, 16 x 8       c[0] and c[1] at (row, pair), c[2] and c[3] at (row + 8, pair)
//
// So the sums of two neighbouring 16 x 8 products are, rounded, a factor A of the next product.
//
// Of TF32 a register is one number, and factors span 8 columns; `column` is lane % 4:
//
//   factor A, 16 x 8    a[0] at (row, column), a[1] at (row + 8, column), a[2] at (row, column + 4), a[3] at (row + 8, column + 4)
//   factor B, 8 x 8     b0 at (column, row), b1 at (column + 4, row)

#pragma once
#include "common.cuh"

__device__ inline unsigned two(float low, float high, bf16) {
  __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<unsigned *>(&both);
}

__device__ inline unsigned two(float low, float high, f16) {
  __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<unsigned *>(&both);
}

#ifdef __CUDACC__

// TF32 is an f32 whose last 13 bits are not looked at: it is rounded to the nearest, ties away from zero.
__device__ inline unsigned to_tf32(unsigned word) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(word)));
  return rounded;
}

// 2 to the power of x, to 2 units in the last place; 0 of minus infinity.
__device__ inline float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The signs of four bytes of `low` (0 to 3) and `high` (4 to 7), each spread over a byte: digits of `which` are 8 plus the
// number of the byte.
__device__ inline unsigned signs(unsigned low, unsigned high, unsigned which) {
  unsigned bytes;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(bytes) : "r"(low), "r"(high), "r"(which));
  return bytes;
}


// c = a b + d.
#define MULTIPLY(T, SHAPE, TYPES)                                                                                      \
  __device__ inline void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,                     \
                                  const float (&d)[4], T) {                                                            \
    asm("mma.sync.aligned." SHAPE ".row.col.f32." TYPES ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};" \
        : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])                                                               \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(d[0]), "f"(d[1]), "f"(d[2]), "f"(d[3]));   \
  }
MULTIPLY(bf16, "m16n8k16", "bf16.bf16")
MULTIPLY(f16, "m16n8k16", "f16.f16")
MULTIPLY(float, "m16n8k8", "tf32.tf32")

// Four 8 x 8 matrices of 16-bit numbers, or 8 x 4 of 32 bits, out of shared memory: lane i names row i % 8 of matrix i / 8, 16 bytes that lie at
// a multiple of 16, and gets of each matrix what stands at (row, pair), or at (row, column).
__device__ inline void load_matrices(unsigned (&m)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(unsigned(__cvta_generic_to_shared(row)))
               : "memory");
}

// The same, of the transposed matrices of 16-bit numbers.
__device__ inline void load_transposed(unsigned (&m)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(unsigned(__cvta_generic_to_shared(row)))
               : "memory");
}

// 16 bytes into shared memory, or zeros.
__device__ inline void copy_16_bytes(void *to, const void *from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(unsigned(__cvta_generic_to_shared(to))), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}

// Ends a group of copies.
__device__ inline void end_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all groups of this thread but the last.
__device__ inline void wait_for_all_but_the_last() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }

#endif

// c += a b.
template <class T>
__device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, T type) {
  multiply(c, a, b0, b1, c, type);
}
