// Built-in variables, barriers and shared memory.
#include "primitives.cuh"

// For each thread: threadIdx, blockDim, blockIdx, gridDim.
extern "C" __global__ void positions(int* out) {
  unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  int* mine = out + 12 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
  const unsigned all[12] = {threadIdx.x, threadIdx.y, threadIdx.z, blockDim.x,
                            blockDim.y,  blockDim.z,  blockIdx.x,  blockIdx.y,
                            blockIdx.z,  gridDim.x,   gridDim.y,   gridDim.z};
  for (int i = 0; i < 12; ++i) mine[i] = static_cast<int>(all[i]);
}

// Or, and, count of `rounds` rows of predicates, one barrier right behind the other.
extern "C" __global__ void __launch_bounds__(96)
    reductions(int* out, const int* predicates, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    int predicate = predicates[round * blockDim.x + threadIdx.x];
    int* mine = out + 3 * (round * blockDim.x + threadIdx.x);
    mine[0] = __syncthreads_or(predicate) != 0;
    mine[1] = __syncthreads_and(predicate) != 0;
    mine[2] = __syncthreads_count(predicate);
  }
}

// Values go round the block through static and dynamic shared memory.
extern "C" __global__ void __launch_bounds__(96) rotate(int* out, int rounds) {
  __shared__ int one[96];
  DYNAMIC_SHARED(bytes);
  int* other = reinterpret_cast<int*>(bytes);
  int thread = threadIdx.x, next = (thread + 1) % blockDim.x;
  one[thread] = thread;
  for (int round = 0; round < rounds; ++round) {
    __syncthreads();
    other[thread] = one[next];
    __syncthreads();
    one[thread] = other[thread] + 1000;
  }
  out[blockIdx.x * blockDim.x + thread] = one[thread];
}

// What shared memory holds before anyone has written it.
extern "C" __global__ void __launch_bounds__(32) unwritten(float* out) {
  __shared__ float fixed[32];
  DYNAMIC_SHARED(bytes);
  out[threadIdx.x] = fixed[threadIdx.x];
  out[32 + threadIdx.x] = reinterpret_cast<float*>(bytes)[threadIdx.x];
  fixed[threadIdx.x] = 1.0f;
}
