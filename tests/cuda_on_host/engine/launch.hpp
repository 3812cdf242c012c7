// A launch of a kernel, as Python asks for it, and its blocks' way to host threads.
#pragma once
#include <cstdint>
#include "../include/vectors.hpp"
#include "memory.hpp"

struct half16;
#include "../include/entry.hpp"

namespace cuda_on_host {

enum class Order : uint32_t { ascending, descending, random };

// The layout is repeated in host_device.py.
struct Launch {
  const Entry* entry;
  void (*find_static_shared)(unsigned char** begin, unsigned char** end);
  void** arguments;
  uint64_t shared_bytes;
  uint64_t seed;  // of the random order
  dim3 grid, block;
  Order order;
  uint32_t eager_copies;
  uint32_t check_races;
  uint32_t workers;  // host threads

  unsigned threads() const { return block.x * block.y * block.z; }
  uint64_t blocks() const { return uint64_t(grid.x) * grid.y * grid.z; }
  StaticShared static_shared() const {
    StaticShared found;
    find_static_shared(&found.begin, &found.end);
    return found;
  }
};

}  // namespace cuda_on_host
