// How the engine finds a kernel library's `__shared__` variables: thread-local storage, which the
// linker lays out between the fences because their files are linked first and last.
#pragma once
#include <cstddef>

namespace cuda_on_host {
constexpr size_t static_shared_fence = 1024;
}
