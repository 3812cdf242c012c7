// Kernels that show whether a launcher passes on what it is given.
#include "primitives.cuh"

extern "C" __global__ void add(const float* a, const float* b, float* sum, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) sum[i] = a[i] + b[i];
}

// Parameters of all sizes, so that a wrong offset or width shows.
extern "C" __global__ void tell(double* told, signed char a, unsigned short b, int c,
                                unsigned long long d, float e, double f, const float* none) {
  told[0] = a;
  told[1] = b;
  told[2] = c;
  told[3] = static_cast<double>(d);
  told[4] = e;
  told[5] = f;
  told[6] = none == nullptr;
}

// Where a block stands in its grid, and a thread in its block.
extern "C" __global__ void place(int* places) {
  int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  places[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

// Writes the last of so many bytes of dynamic shared memory, and reads it back.
extern "C" __global__ void reach(int* found, int bytes) {
  DYNAMIC_SHARED(memory);
  memory[bytes - 1] = 42;
  *found = memory[bytes - 1];
}

extern "C" __global__ void write_to(int* address) { *address = 1; }
