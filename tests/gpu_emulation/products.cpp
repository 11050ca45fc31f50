// The part of cuBLAS and cuBLASLt that the program calls, on the CPU.

#include "block.h"
#include "device.h"
#include "memory.h"

#include <cublasLt.h>
#include <cublas_v2.h>

using emulated::Alone;
using emulated::fail;
using emulated::handle;
using emulated::memory;

namespace {

float load(const void *x, cudaDataType type, size_t i) {
  switch (type) {
    case CUDA_R_32F: return static_cast<const float *>(x)[i];
    case CUDA_R_16BF: return __bfloat162float(static_cast<const __nv_bfloat16 *>(x)[i]);
    case CUDA_R_16F: return __half2float(static_cast<const __half *>(x)[i]);
    default: fail("a product of an unknown type");
  }
}

void store(void *x, cudaDataType type, size_t i, float value) {
  switch (type) {
    case CUDA_R_32F: static_cast<float *>(x)[i] = value; return;
    case CUDA_R_16BF: static_cast<__nv_bfloat16 *>(x)[i] = __float2bfloat16(value); return;
    case CUDA_R_16F: static_cast<__half *>(x)[i] = __float2half(value); return;
    default: fail("a product of an unknown type");
  }
}

// What the matrix units see of a factor. cuBLAS does not say whether it cuts off the last 13 bits of TF32 or rounds them:
// `EMULATED_GPU_TF32=cut` cuts, and otherwise they are rounded to the nearest.
float factor(const void *x, cudaDataType type, size_t i, bool tf32) {
  static const char *how = getenv("EMULATED_GPU_TF32");
  static const bool cuts = how && !strcmp(how, "cut");
  float value = load(x, type, i);
  if (!tf32 || type != CUDA_R_32F) return value;
  unsigned word;
  memcpy(&word, &value, sizeof word);
  word = cuts ? word & ~0x1fffu : to_tf32(word);
  memcpy(&value, &word, sizeof value);
  return value;
}

size_t bytes_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

// A matrix of columns `between` apart, as often as `batch` says, must be there.
void require(const void *x, cudaDataType type, size_t rows, size_t columns, size_t between, size_t batch = 1,
             size_t stride = 0) {
  if (rows == 0 || columns == 0 || batch == 0) return;
  memory.require(x, ((batch - 1) * stride + (columns - 1) * between + rows) * bytes_of(type), "a product");
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *blas) { return *blas = handle<cublasHandle_t>(), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                          int k, const void *alpha, const void *a, cudaDataType a_type, int lda,
                                          long long int a_stride, const void *b, cudaDataType b_type, int ldb,
                                          long long int b_stride, const void *beta, void *c, cudaDataType c_type,
                                          int ldc, long long int c_stride, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  Alone alone;
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  int a_rows = ta == CUBLAS_OP_N ? m : k, b_rows = tb == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || lda < std::max(1, a_rows) || ldb < std::max(1, b_rows) || ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (m > 0 && n > 0) {
    require(a, a_type, a_rows, ta == CUBLAS_OP_N ? k : m, lda, batch, a_stride);
    require(b, b_type, b_rows, tb == CUBLAS_OP_N ? n : k, ldb, batch, b_stride);
    require(c, c_type, m, n, ldc, batch, c_stride);
  }
  float scale = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
  for (long long i = 0; i < batch; i++)
    for (size_t column = 0; column < size_t(n); column++)
      for (size_t row = 0; row < size_t(m); row++) {
        float sum = 0.0f;
        for (size_t inner = 0; inner < size_t(k); inner++)
          sum += factor(a, a_type, i * a_stride + (ta == CUBLAS_OP_N ? row + inner * lda : inner + row * lda), tf32) *
                 factor(b, b_type, i * b_stride + (tb == CUBLAS_OP_N ? inner + column * ldb : column + inner * ldb), tf32);
        size_t at = i * c_stride + row + column * ldc;
        store(c, c_type, at, scale * sum + (keep == 0.0f ? 0.0f : keep * load(c, c_type, at)));
      }
  return CUBLAS_STATUS_SUCCESS;
}

// cuBLASLt, for products of matrices with a bias.
struct Product {
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void *bias = nullptr;
  bool tf32 = false;
};
struct Layout {
  cudaDataType type;
  size_t rows, columns, between;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *lt) { return *lt = handle<cublasLtHandle_t>(), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t) {
  auto *product = new Product;
  product->tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  return *desc = reinterpret_cast<cublasLtMatmulDesc_t>(product), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  return delete reinterpret_cast<Product *>(desc), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes) {
  auto *product = reinterpret_cast<Product *>(desc);
  auto set = [&](auto &field) {
    if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
    return memcpy(&field, value, bytes), CUBLAS_STATUS_SUCCESS;
  };
  switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(product->ta);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(product->tb);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(product->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(product->bias);
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t between) {
  if (between < int64_t(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  auto *made = new Layout{type, rows, columns, size_t(between)};
  return *layout = reinterpret_cast<cublasLtMatrixLayout_t>(made), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return delete reinterpret_cast<Layout *>(layout), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  return *preference = handle<cublasLtMatmulPreference_t>(), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t which, const void *,
                                                    size_t bytes) {
  bool wide = which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
  return bytes == (wide ? 8 : 4) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
// As the real one for some shapes, it has nothing to offer for a side of 13.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t *result, int *found) {
  memset(result, 0, sizeof *result);
  return *found = reinterpret_cast<Layout *>(a)->rows != 13, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *a_values,
                              cublasLtMatrixLayout_t a_layout, const void *b_values, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *, cublasLtMatrixLayout_t, void *d_values,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t) {
  Alone alone;
  auto &product = *reinterpret_cast<Product *>(desc);
  auto &a = *reinterpret_cast<Layout *>(a_layout), &b = *reinterpret_cast<Layout *>(b_layout);
  auto &d = *reinterpret_cast<Layout *>(d_layout);
  size_t inner = product.ta == CUBLAS_OP_N ? a.columns : a.rows;
  if ((product.ta == CUBLAS_OP_N ? a.rows : a.columns) != d.rows || product.tb != CUBLAS_OP_N || b.rows != inner ||
      b.columns != d.columns || *static_cast<const float *>(beta) != 0.0f)
    return CUBLAS_STATUS_INVALID_VALUE;
  require(a_values, a.type, a.rows, a.columns, a.between);
  require(b_values, b.type, b.rows, b.columns, b.between);
  require(d_values, d.type, d.rows, d.columns, d.between);
  if (product.epilogue == CUBLASLT_EPILOGUE_BIAS) require(product.bias, d.type, d.rows, 1, 1);
  for (size_t column = 0; column < d.columns; column++)
    for (size_t row = 0; row < d.rows; row++) {
      float sum = 0.0f;
      for (size_t i = 0; i < inner; i++)
        sum += factor(a_values, a.type, product.ta == CUBLAS_OP_N ? row + i * a.between : i + row * a.between, product.tf32) *
               factor(b_values, b.type, i + column * b.between, product.tf32);
      sum *= *static_cast<const float *>(alpha);
      if (product.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += load(product.bias, d.type, row);
      store(d_values, d.type, row + column * d.between, sum);
    }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
