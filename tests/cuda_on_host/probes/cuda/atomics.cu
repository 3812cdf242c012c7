// Atomics of all threads of all blocks on the same addresses.
#include "primitives.cuh"

__device__ int number() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

extern "C" __global__ void sums(int* i, unsigned* u, unsigned long long* l, float* f) {
  atomicAdd(i, number() - 50);
  atomicAdd(u, 0x10000000u);
  atomicAdd(l, 0x100000000ull + number());
  atomicAdd(f, 0.5f);
}

extern "C" __global__ void extremes(int* i, unsigned* u, unsigned long long* l, const int* values) {
  int value = values[number()];
  atomicMax(i, value);
  atomicMin(i + 1, value);
  atomicMax(u, static_cast<unsigned>(value));
  atomicMin(u + 1, static_cast<unsigned>(value));
  atomicMax(l, static_cast<unsigned long long>(static_cast<long long>(value)));
}

// Each thread leaves its number and takes its predecessor's.
extern "C" __global__ void chain(int* last, int* predecessors) {
  predecessors[number()] = atomicExch(last, number());
}

// Each thread counts up by compare-and-swap; notes what it replaced.
extern "C" __global__ void count(int* counter, int* replaced) {
  int expected = 0, found;
  while ((found = atomicCAS(counter, expected, expected + 1)) != expected) expected = found;
  replaced[number()] = expected;
}

extern "C" __global__ void bits(unsigned* any, unsigned* all) {
  atomicOr(any, 1u << number() % 32);
  atomicAnd(all, ~(1u << number() % 32));
}
