// Start, device, context, memory and copies of a GPU that is none: memory is the host's.
//
// Every GPU has one context, and what was made in one is refused in another: CUDA refuses some of
// that, and does the rest on a GPU that was not meant.
//
// FAKE_CUDA_DEVICES: how many GPUs there are (1). FAKE_CUDA_MEMORY: their bytes (unbounded).
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "state.hpp"

namespace {
std::recursive_mutex lock;
bool started = false;
int sticky = SUCCESS;
thread_local std::vector<uintptr_t> contexts;
constexpr uintptr_t primary = 0x100;  // of the first GPU; the next GPU's is the next number

struct Allocation {
  size_t size;
  bool host;  // page-locked memory of the host, which all contexts share
  uintptr_t context;
};
std::map<Address, Allocation> allocations;
size_t allocated = 0;

size_t setting(const char* name, size_t otherwise) {
  const char* text = getenv(name);
  return text ? strtoull(text, nullptr, 10) : otherwise;
}
const Allocation* allocation_of(Address address) {
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  auto& [start, found] = *--next;
  return address < start + found.size ? &found : nullptr;
}
bool on_device(Address address, size_t size) {
  auto* found = allocation_of(address);
  if (!found || found->host || found->context != current()) return false;
  return !size || allocation_of(address + size - 1) == found;
}
int devices() { return int(setting("FAKE_CUDA_DEVICES", 1)); }
bool pinned(const void* host) {
  auto* found = allocation_of(reinterpret_cast<Address>(host));
  return found && found->host;
}
template <typename Pointer> Pointer memory(Address address) {
  return reinterpret_cast<Pointer>(address);
}
}  // namespace

Turn::Turn() { lock.lock(); }
Turn::~Turn() { lock.unlock(); }
uintptr_t current() { return contexts.empty() ? 0 : contexts.back(); }
int ready() { return !started ? NOT_INITIALIZED : contexts.empty() ? INVALID_CONTEXT : sticky; }
int failure() { return sticky; }
void fail(Result error) { sticky = error; }

DRIVER_API int cuInit(unsigned) {
  if (!devices()) return NO_DEVICE;
  started = true;
  return SUCCESS;
}
DRIVER_API int cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
DRIVER_API int cuDeviceGetCount(int* count) {
  return *count = devices(), SUCCESS;
}
DRIVER_API int cuDeviceGet(int* device, int number) {
  if (!started) return NOT_INITIALIZED;
  if (number >= devices()) return INVALID_DEVICE;
  return *device = number, SUCCESS;
}
DRIVER_API int cuDeviceGetName(char* name, int length, int) {
  return snprintf(name, size_t(length), "Host GPU"), SUCCESS;
}
DRIVER_API int cuDeviceGetAttribute(int* value, int attribute, int) {
  static const std::map<int, int> values = {{16, 132}, {75, 9}, {76, 0}, {97, 227 * 1024}};
  auto found = values.find(attribute);
  if (found == values.end()) return INVALID_VALUE;
  return *value = found->second, SUCCESS;
}

DRIVER_API int cuDevicePrimaryCtxRetain(uintptr_t* context, int device) {
  if (device < 0 || device >= devices()) return INVALID_DEVICE;
  return *context = primary + uintptr_t(device), SUCCESS;
}
DRIVER_API int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
DRIVER_API int cuCtxSetCurrent(uintptr_t context) {
  if (!contexts.empty()) contexts.pop_back();
  if (context) contexts.push_back(context);
  return SUCCESS;
}
DRIVER_API int cuCtxPushCurrent_v2(uintptr_t context) {
  return contexts.push_back(context), SUCCESS;
}
DRIVER_API int cuCtxPopCurrent_v2(uintptr_t* context) {
  if (contexts.empty()) return INVALID_CONTEXT;
  *context = contexts.back();
  return contexts.pop_back(), SUCCESS;
}
DRIVER_API int cuCtxGetDevice(int* device) {
  if (contexts.empty()) return INVALID_CONTEXT;
  return *device = int(current() - primary), SUCCESS;
}

static int allocate(void** pointer, size_t size, bool host) {
  Turn turn;
  if (int error = ready()) return error;
  if (!size) return INVALID_VALUE;
  if (!host && allocated + size > setting("FAKE_CUDA_MEMORY", SIZE_MAX / 2)) return OUT_OF_MEMORY;
  *pointer = aligned_alloc(512, (size + 511) / 512 * 512);
  if (!*pointer) return OUT_OF_MEMORY;
  memset(*pointer, 0xff, size);
  allocations[reinterpret_cast<Address>(*pointer)] = {size, host, current()};
  if (!host) allocated += size;
  return SUCCESS;
}
static int release(Address address, bool host) {
  Turn turn;
  if (contexts.empty()) return INVALID_CONTEXT;
  auto found = allocations.find(address);
  if (found == allocations.end() || found->second.host != host) return INVALID_VALUE;
  if (!host && found->second.context != current()) return INVALID_CONTEXT;
  run_all();
  if (!host) allocated -= found->second.size;
  allocations.erase(found);
  free(memory<void*>(address));
  return SUCCESS;
}
DRIVER_API int cuMemAlloc_v2(Address* pointer, size_t size) {
  void* made = nullptr;
  int result = allocate(&made, size, false);
  return *pointer = reinterpret_cast<Address>(made), result;
}
DRIVER_API int cuMemFree_v2(Address pointer) { return release(pointer, false); }
DRIVER_API int cuMemHostAlloc(void** pointer, size_t size, unsigned) {
  return allocate(pointer, size, true);
}
DRIVER_API int cuMemFreeHost(void* pointer) {
  return release(reinterpret_cast<Address>(pointer), true);
}
DRIVER_API int cuPointerGetAttribute(void* value, int attribute, Address pointer) {
  Turn turn;
  constexpr int memory_type = 2, ordinal = 9, host = 1, device = 2;
  if (int error = ready()) return error;
  auto* found = allocation_of(pointer);
  if (!found) return INVALID_VALUE;
  int* result = static_cast<int*>(value);
  if (attribute == memory_type) return *result = found->host ? host : device, SUCCESS;
  if (attribute == ordinal) return *result = int(found->context - primary), SUCCESS;
  return INVALID_VALUE;
}

// From pageable memory the driver reads before it returns, from page-locked memory when its turn in
// the stream comes.
DRIVER_API int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t size, uintptr_t stream) {
  Turn turn;
  if (!on_device(to, size)) return INVALID_VALUE;
  if (pinned(from)) return enqueue(stream, [=] { memcpy(memory<void*>(to), from, size); });
  std::string staged(static_cast<const char*>(from), size);
  return enqueue(stream, [=] { memcpy(memory<void*>(to), staged.data(), size); });
}
DRIVER_API int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t size, uintptr_t stream) {
  Turn turn;
  if (!on_device(from, size)) return INVALID_VALUE;
  return enqueue(stream, [=] { memcpy(to, memory<const void*>(from), size); });
}
DRIVER_API int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, uintptr_t stream) {
  Turn turn;
  if (!on_device(to, size) || !on_device(from, size)) return INVALID_VALUE;
  return enqueue(stream, [=] { memcpy(memory<void*>(to), memory<const void*>(from), size); });
}
DRIVER_API int cuMemsetD8Async(Address to, unsigned char byte, size_t size, uintptr_t stream) {
  Turn turn;
  if (!on_device(to, size)) return INVALID_VALUE;
  return enqueue(stream, [=] { memset(memory<void*>(to), byte, size); });
}

DRIVER_API int cuGetErrorName(int code, const char** name) {
  static const std::map<int, const char*> names = {
      {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
      {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
      {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
      {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
      {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
      {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
      {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
      {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
      {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
      {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
      {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
      {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
      {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
  };
  auto found = names.find(code);
  *name = found == names.end() ? nullptr : found->second;
  return *name ? SUCCESS : INVALID_VALUE;
}
DRIVER_API int cuGetErrorString(int, const char** text) {
  return *text = "said by the driver on the host", SUCCESS;
}

// cuda-bindings looks up all functions so; the newer of two versions is what it wants.
DRIVER_API int cuGetProcAddress_v2(const char* name, void** function, int, uint64_t, int* found) {
  Dl_info self;
  dladdr(reinterpret_cast<void*>(&cuGetProcAddress_v2), &self);
  static void* library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  for (const char* version : {"_v2", ""}) {
    *function = dlsym(library, (std::string(name) + version).c_str());
    if (!*function) continue;
    if (found) *found = 0;
    return SUCCESS;
  }
  if (found) *found = 1;
  return NOT_FOUND;
}
