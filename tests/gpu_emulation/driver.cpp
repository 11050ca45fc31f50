// The part of the CUDA driver and of cuRAND that the program calls, on the CPU.
//
// Everything runs at once, in the order of the calls. Fresh memory is filled with NaN: reading what was never written
// shows. Using what was not allocated is an error, whoever does it.

#include "block.h"
#include "device.h"
#include "kernels.h"
#include "memory.h"

#include <chrono>
#include <cuda.h>
#include <map>
#include <string>

// Made when first asked for: the files of kernels register theirs in any order.
std::map<std::string, emulated::Kernel> &emulated::kernels(const std::string &module) {
  static std::map<std::string, std::map<std::string, Kernel>> all;
  return all[module];
}

using emulated::Alone;
using emulated::fail;
using emulated::handle;
using emulated::memory;

namespace {

CUresult release(CUdeviceptr address) {
  Alone alone;
  return memory.release(address), CUDA_SUCCESS;
}

// The device's memory as the host's.
void *to_write(CUdeviceptr address, size_t bytes) {
  Alone alone;
  memory.require(reinterpret_cast<void *>(address), bytes, "a copy");
  return reinterpret_cast<void *>(address);
}
const void *to_read(CUdeviceptr address, size_t bytes) { return to_write(address, bytes); }

// What was asked for, by kernel.
std::map<CUfunction, size_t> &shared_bytes_of() {
  static std::map<CUfunction, size_t> asked;
  return asked;
}

using Clock = std::chrono::steady_clock;
Clock::time_point *time_of(CUevent event) { return reinterpret_cast<Clock::time_point *>(event); }

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
// Of compute capability 8.0.
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice) {
  *value = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 8 : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 0 : 1;
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) { return *bytes = emulated::DEVICE_BYTES, CUDA_SUCCESS; }
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
  Alone alone;
  *address = CUdeviceptr(uintptr_t(memory.allocate(bytes)));
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) { return cuMemAllocAsync(address, bytes, nullptr); }
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream) { return release(address); }
CUresult cuMemFree_v2(CUdeviceptr address) { return release(address); }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream) {
  return memcpy(to_write(to, bytes), from, bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream) {
  return memcpy(to, to_read(from, bytes), bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
  return memmove(to_write(to, bytes), to_read(from, bytes), bytes), CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
  return memset(to_write(to, bytes), value, bytes), CUDA_SUCCESS;
}
CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  *total = emulated::DEVICE_BYTES;
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
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
  Alone alone;
  if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || size_t(value) > emulated::SHARED_BYTES)
    return CUDA_ERROR_INVALID_VALUE;
  shared_bytes_of()[function] = value;
  return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                        unsigned bz, unsigned shared_bytes, CUstream, void **parameters, void **) {
  Alone alone;
  if (gx == 0 || gy == 0 || gz == 0 || bx * by * bz == 0 || bx * by * bz > 1024 || gy > 65535 || gz > 65535 ||
      shared_bytes > std::max(shared_bytes_of()[function], emulated::UNASKED_SHARED_BYTES))
    return CUDA_ERROR_INVALID_VALUE;
  auto &kernel = *reinterpret_cast<const emulated::Kernel *>(function);
  emulated::run(kernel, {gx, gy, gz}, {bx, by, bz}, shared_bytes, parameters);
  return CUDA_SUCCESS;
}

int curandCreateGenerator(void **generator, int) { return *generator = handle<void *>(), 0; }
int curandDestroyGenerator(void *) { return 0; }
int curandSetStream(void *, void *) { return 0; }
int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }

}  // extern "C"
