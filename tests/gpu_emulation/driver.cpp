// The part of the CUDA driver, cuBLAS and cuRAND that the program calls, on the CPU.
//
// Everything runs at once, in the order of the calls. Fresh and freed memory is filled with NaN, and each block of memory
// is followed by marks that are checked when it is freed: reading what was never written shows, and so does writing past
// the end.

#include "block.h"
#include "kernels.h"

#include <chrono>
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda.h>
#include <map>
#include <mutex>
#include <string>

// Made when first asked for: the files of kernels register theirs in any order.
std::map<std::string, emulated::Kernel> &emulated::kernels(const std::string &module) {
  static std::map<std::string, std::map<std::string, Kernel>> all;
  return all[module];
}

namespace {

constexpr size_t MARKS = 256;
constexpr unsigned char MARK = 0xa5;

struct Memory {
  std::map<uintptr_t, size_t> blocks;
  uint64_t used = 0, highest = 0;
} memory;
std::recursive_mutex one_at_a_time;

[[noreturn]] void fail(const std::string &what) {
  fprintf(stderr, "emulated GPU: %s\n", what.c_str());
  abort();
}

// Rust's test threads share the device.
struct Alone : std::lock_guard<std::recursive_mutex> {
  Alone() : lock_guard(one_at_a_time) {}
};

void *allocate(size_t bytes) {
  Alone alone;
  auto *block = static_cast<unsigned char *>(aligned_alloc(256, (bytes + MARKS + 255) / 256 * 256));
  if (!block) return nullptr;
  memset(block, 0xff, bytes);
  memset(block + bytes, MARK, MARKS);
  memory.blocks[uintptr_t(block)] = bytes;
  memory.used += bytes;
  memory.highest = std::max(memory.highest, memory.used);
  return block;
}

CUresult release(CUdeviceptr address) {
  Alone alone;
  auto found = memory.blocks.find(address);
  if (found == memory.blocks.end()) fail("freed what was not allocated");
  auto *block = reinterpret_cast<unsigned char *>(address);
  for (size_t i = 0; i < MARKS; i++)
    if (block[found->second + i] != MARK) fail("a kernel wrote past the end of " + std::to_string(found->second) + " bytes");
  memory.used -= found->second;
  memset(block, 0xff, found->second);
  memory.blocks.erase(found);
  free(block);
  return CUDA_SUCCESS;
}

using Clock = std::chrono::steady_clock;
Clock::time_point *time_of(CUevent event) { return reinterpret_cast<Clock::time_point *>(event); }

// Something to point to for handles that are never looked into.
template <class T> T handle() { return reinterpret_cast<T>(uintptr_t(0x1000)); }

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

}  // namespace

extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *version) { return *version = CUDA_VERSION, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  return *device = ordinal, ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult cuDeviceGetCount(int *count) { return *count = 1, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *name, int n, CUdevice) { return snprintf(name, n, "emulated GPU"), CUDA_SUCCESS; }
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice) { return memset(uuid, 7, sizeof *uuid), CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute, CUdevice) { return *value = 1, CUDA_SUCCESS; }
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) { return *bytes = size_t(1) << 33, CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) { return *context = handle<CUcontext>(), CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *context) { return *context = handle<CUcontext>(), CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamCreate(CUstream *stream, unsigned) { return *stream = handle<CUstream>(), CUDA_SUCCESS; }
CUresult cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned) { return CUDA_SUCCESS; }
// All work is done when a call returns, so an event is passed when it is recorded.
CUresult cuEventCreate(CUevent *event, unsigned) {
  return *event = reinterpret_cast<CUevent>(new Clock::time_point), CUDA_SUCCESS;
}
CUresult cuEventDestroy_v2(CUevent event) { return delete time_of(event), CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream) { return *time_of(event) = Clock::now(), CUDA_SUCCESS; }
CUresult cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
CUresult cuEventElapsedTime_v2(float *ms, CUevent start, CUevent end) {
  return *ms = std::chrono::duration<float, std::milli>(*time_of(end) - *time_of(start)).count(), CUDA_SUCCESS;
}
#undef cuEventElapsedTime  // the header gives the newer function its name
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) { return cuEventElapsedTime_v2(ms, start, end); }
CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus *status) {
  return *status = CU_STREAM_CAPTURE_STATUS_NONE, CUDA_SUCCESS;
}
CUresult cuGetErrorName(CUresult, const char **text) { return *text = "CUDA_ERROR_EMULATED", CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult, const char **text) { return *text = "an error of the emulated GPU", CUDA_SUCCESS; }

CUresult cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream) {
  *address = CUdeviceptr(uintptr_t(allocate(bytes)));
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) { return cuMemAllocAsync(address, bytes, nullptr); }
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream) { return release(address); }
CUresult cuMemFree_v2(CUdeviceptr address) { return release(address); }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream) {
  return memcpy(reinterpret_cast<void *>(to), from, bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream) {
  return memcpy(to, reinterpret_cast<void *>(from), bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
  return memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes), CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
  return memset(reinterpret_cast<void *>(to), value, bytes), CUDA_SUCCESS;
}
CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  *total = size_t(1) << 33;
  *free = *total - memory.used;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice) { return *pool = handle<CUmemoryPool>(), CUDA_SUCCESS; }
CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) { return CUDA_SUCCESS; }
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute which, void *) {
  if (which == CU_MEMPOOL_ATTR_USED_MEM_HIGH) memory.highest = memory.used;
  return CUDA_SUCCESS;
}
CUresult cuMemPoolGetAttribute(CUmemoryPool, CUmemPool_attribute which, void *value) {
  switch (which) {
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: memcpy(value, &memory.highest, 8); return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: memcpy(value, &memory.used, 8); return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

// The assembly tells whose module it is: candle has no AdamW.
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  bool ours = strstr(static_cast<const char *>(image), "adamw_f32");
  *module = reinterpret_cast<CUmodule>(&emulated::kernels(ours ? "ours" : "candle"));
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  auto &kernels = *reinterpret_cast<std::map<std::string, emulated::Kernel> *>(module);
  auto found = kernels.find(name);
  if (found == kernels.end()) fail("no kernel `" + std::string(name) + "`");
  *function = reinterpret_cast<CUfunction>(const_cast<emulated::Kernel *>(&found->second));
  return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                        unsigned bz, unsigned shared_bytes, CUstream, void **parameters, void **) {
  Alone alone;
  if (gx == 0 || gy == 0 || gz == 0 || bx * by * bz == 0 || bx * by * bz > 1024 || gy > 65535 || gz > 65535 ||
      shared_bytes > emulated::SHARED_BYTES)
    return CUDA_ERROR_INVALID_VALUE;
  auto &kernel = *reinterpret_cast<const emulated::Kernel *>(function);
  emulated::run({gx, gy, gz}, {bx, by, bz}, [&] { kernel(parameters); });
  return CUDA_SUCCESS;
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *blas) { return *blas = handle<cublasHandle_t>(), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                          int k, const void *alpha, const void *a, cudaDataType a_type, int lda,
                                          long long int a_stride, const void *b, cudaDataType b_type, int ldb,
                                          long long int b_stride, const void *beta, void *c, cudaDataType c_type,
                                          int ldc, long long int c_stride, int batch, cublasComputeType_t,
                                          cublasGemmAlgo_t) {
  Alone alone;
  int a_rows = ta == CUBLAS_OP_N ? m : k, b_rows = tb == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || lda < std::max(1, a_rows) || ldb < std::max(1, b_rows) || ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  float factor = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
  for (long long i = 0; i < batch; i++)
    for (size_t column = 0; column < size_t(n); column++)
      for (size_t row = 0; row < size_t(m); row++) {
        float sum = 0.0f;
        for (size_t inner = 0; inner < size_t(k); inner++)
          sum += load(a, a_type, i * a_stride + (ta == CUBLAS_OP_N ? row + inner * lda : inner + row * lda)) *
                 load(b, b_type, i * b_stride + (tb == CUBLAS_OP_N ? inner + column * ldb : column + inner * ldb));
        size_t at = i * c_stride + row + column * ldc;
        store(c, c_type, at, factor * sum + (keep == 0.0f ? 0.0f : keep * load(c, c_type, at)));
      }
  return CUBLAS_STATUS_SUCCESS;
}

// cuBLASLt, for products of matrices with a bias.
struct Product {
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void *bias = nullptr;
};
struct Layout {
  cudaDataType type;
  size_t rows, columns, between;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *lt) { return *lt = handle<cublasLtHandle_t>(), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t, cudaDataType_t) {
  return *desc = reinterpret_cast<cublasLtMatmulDesc_t>(new Product), CUBLAS_STATUS_SUCCESS;
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
  for (size_t column = 0; column < d.columns; column++)
    for (size_t row = 0; row < d.rows; row++) {
      float sum = 0.0f;
      for (size_t i = 0; i < inner; i++)
        sum += load(a_values, a.type, product.ta == CUBLAS_OP_N ? row + i * a.between : i + row * a.between) *
               load(b_values, b.type, i + column * b.between);
      sum *= *static_cast<const float *>(alpha);
      if (product.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += load(product.bias, d.type, row);
      store(d_values, d.type, row + column * d.between, sum);
    }
  return CUBLAS_STATUS_SUCCESS;
}

int curandCreateGenerator(void **generator, int) { return *generator = handle<void *>(), 0; }
int curandDestroyGenerator(void *) { return 0; }
int curandSetStream(void *, void *) { return 0; }
int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }

}  // extern "C"
