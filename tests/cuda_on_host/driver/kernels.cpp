// Modules, kernels and launches: cubins say what kernels there are and what they take, and the same
// source built for the host does the work.
//
// FAKE_CUDA_KERNELS: the libraries of the host's kernels, with colons between them.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <sstream>

#include "../engine/launch.hpp"
#include "cubin.hpp"
#include "state.hpp"

namespace {
struct Function {
  uintptr_t context;
  std::string name;
  Kernel kernel;
  int most_dynamic_bytes;
};
struct Module {
  uintptr_t context;
  Cubin cubin;
  std::map<std::string, std::unique_ptr<Function>> functions;
};
std::set<Module*> modules;

constexpr int architecture = 90, without_opt_in = 48 * 1024, opt_in = 227 * 1024;
constexpr size_t reserved = 1024;  // of each block's shared memory, beside what it may ask for
constexpr int shared_size = 1, most_dynamic_size = 8;  // of CUfunction_attribute

using Run = const char* (*)(const cuda_on_host::Launch*);

// A library of the host's kernels (../build.py), with the engine that it is linked against.
struct Library {
  void* opened;
  Run run;

  explicit Library(const std::string& path) : opened(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!opened) {
      fprintf(stderr, "FAKE_CUDA_KERNELS: %s\n", dlerror());
      abort();
    }
    run = reinterpret_cast<Run>(dlsym(opened, "cuda_on_host_launch"));
  }
  const cuda_on_host::Entry* entry(const std::string& kernel) const {
    return static_cast<const cuda_on_host::Entry*>(dlsym(opened, ("entry_" + kernel).c_str()));
  }
};

const std::vector<Library>& libraries() {
  static const std::vector<Library> all = [] {
    std::vector<Library> opened;
    const char* paths = getenv("FAKE_CUDA_KERNELS");
    std::istringstream list(paths ? paths : "");
    for (std::string path; std::getline(list, path, ':');) opened.emplace_back(path);
    return opened;
  }();
  return all;
}

struct Launch {
  std::string name;
  unsigned grid[3], block[3];
  size_t shared_bytes;
  std::vector<std::string> arguments;

  void run() {
    const char* problem = "is in no library of FAKE_CUDA_KERNELS";
    for (auto& library : libraries())
      if (auto* entry = library.entry(name)) {
        problem = run(library, entry);
        break;
      }
    if (!problem) return;
    fprintf(stderr, "%s: %s\n", name.c_str(), problem);
    fail(LAUNCH_FAILED);
  }
  const char* run(const Library& library, const cuda_on_host::Entry* entry) {
    std::vector<void*> values;
    for (auto& each : arguments) values.push_back(each.data());
    auto shared = dlsym(library.opened, "static_shared");
    cuda_on_host::Launch launch{};
    launch.entry = entry;
    launch.find_static_shared = reinterpret_cast<decltype(launch.find_static_shared)>(shared);
    launch.arguments = values.data();
    launch.shared_bytes = shared_bytes;
    launch.grid = dim3(grid[0], grid[1], grid[2]);
    launch.block = dim3(block[0], block[1], block[2]);
    launch.workers = 1;
    return library.run(&launch);
  }
};

// The values of the parameters: each at an address of its own, or all in one buffer.
bool read_arguments(const Kernel& kernel, void** values, void** extra, Launch& launch) {
  const char* buffer = nullptr;
  for (void** each = extra; each && *each; each += 2)
    if (reinterpret_cast<uintptr_t>(*each) == 1) buffer = static_cast<const char*>(each[1]);
  if (!values == !buffer && !kernel.parameters.empty()) return false;
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    auto& parameter = kernel.parameters[i];
    auto* from = values ? static_cast<const char*>(values[i]) : buffer + parameter.offset;
    launch.arguments.emplace_back(from, parameter.size);
  }
  return true;
}
}  // namespace

DRIVER_API int cuModuleLoadData(Module** module, const void* image) {
  Turn turn;
  if (int error = ready()) return error;
  auto made = std::make_unique<Module>();
  made->context = current();
  if (!read_cubin(image, made->cubin)) return INVALID_IMAGE;
  for (auto& [name, kernel] : made->cubin.kernels)
    kernel.shared_bytes -= std::min(reserved, kernel.shared_bytes);
  if (made->cubin.architecture != architecture) return NO_BINARY_FOR_GPU;
  modules.insert(*module = made.release());
  return SUCCESS;
}
DRIVER_API int cuModuleLoadDataEx(Module** module, const void* image, unsigned, int*, void**) {
  return cuModuleLoadData(module, image);
}
DRIVER_API int cuModuleUnload(Module* module) {
  Turn turn;
  if (!modules.erase(module)) return INVALID_HANDLE;
  delete module;
  return SUCCESS;
}
DRIVER_API int cuModuleGetFunction(Function** function, Module* module, const char* name) {
  Turn turn;
  if (module->context != current()) return INVALID_HANDLE;
  auto found = module->cubin.kernels.find(name);
  if (found == module->cubin.kernels.end()) return NOT_FOUND;
  auto& made = module->functions[name];
  if (!made) made.reset(new Function{current(), name, found->second, without_opt_in});
  *function = made.get();
  return SUCCESS;
}
DRIVER_API int cuFuncGetAttribute(int* value, int attribute, Function* function) {
  if (attribute == shared_size) *value = int(function->kernel.shared_bytes);
  else if (attribute == most_dynamic_size) *value = function->most_dynamic_bytes;
  else return INVALID_VALUE;
  return SUCCESS;
}
DRIVER_API int cuFuncSetAttribute(Function* function, int attribute, int value) {
  if (function->context != current()) return INVALID_HANDLE;
  int most = opt_in - int(function->kernel.shared_bytes);
  if (attribute != most_dynamic_size || value < 0 || value > most) return INVALID_VALUE;
  function->most_dynamic_bytes = value;
  return SUCCESS;
}
DRIVER_API int cuFuncSetBlockShape(Function*, int, int, int) { return SUCCESS; }

DRIVER_API int cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                              unsigned block_x, unsigned block_y, unsigned block_z,
                              unsigned shared_bytes, uintptr_t stream, void** values,
                              void** extra) {
  Turn turn;
  if (function->context != current()) return INVALID_HANDLE;
  uint64_t blocks = uint64_t(grid_x) * grid_y * grid_z;
  uint64_t threads = uint64_t(block_x) * block_y * block_z;
  if (!blocks || grid_y > 65535 || grid_z > 65535) return INVALID_VALUE;
  if (!threads || threads > 1024 || block_z > 64) return INVALID_VALUE;
  if (int(shared_bytes) > function->most_dynamic_bytes) return INVALID_VALUE;
  Launch launch{function->name, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z},
                shared_bytes,   {}};
  if (!read_arguments(function->kernel, values, extra, launch)) return INVALID_VALUE;
  return enqueue(stream, [launch]() mutable { launch.run(); });
}
