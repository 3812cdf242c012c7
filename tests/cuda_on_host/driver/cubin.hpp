// What a cubin (ELF) says of its kernels.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

struct Parameter {
  size_t offset, size;
};

struct Kernel {
  std::vector<Parameter> parameters;  // in order
  size_t shared_bytes = 0;            // static shared memory
};

struct Cubin {
  int architecture = 0;  // 90 for sm_90
  std::map<std::string, Kernel> kernels;
};

// False where the image is no cubin.
bool read_cubin(const void* image, Cubin& cubin);
