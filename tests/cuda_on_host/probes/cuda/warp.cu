// Warp operations, as each thread sees them.
#include "primitives.cuh"

enum Direction { INDEX, UP, DOWN, XOR };

// Each lane brings 100 + its lane.
template <typename T>
__device__ void shuffle(T* out, int direction, unsigned mask, const int* sources, int width) {
  unsigned lane = threadIdx.x % 32;
  if (!((mask >> lane) & 1)) return;
  T value = static_cast<T>(100 + lane);
  int source = sources[lane];
  T got = direction == INDEX  ? __shfl_sync(mask, value, source, width)
          : direction == UP   ? __shfl_up_sync(mask, value, source, width)
          : direction == DOWN ? __shfl_down_sync(mask, value, source, width)
                              : __shfl_xor_sync(mask, value, source, width);
  out[threadIdx.x] = got;
}

extern "C" __global__ void __launch_bounds__(64)
    shuffle_f32(float* out, int direction, unsigned mask, const int* sources, int width) {
  shuffle(out, direction, mask, sources, width);
}
extern "C" __global__ void __launch_bounds__(64)
    shuffle_i32(int* out, int direction, unsigned mask, const int* sources, int width) {
  shuffle(out, direction, mask, sources, width);
}
extern "C" __global__ void __launch_bounds__(64)
    shuffle_u64(unsigned long long* out, int direction, unsigned mask, const int* sources,
                int width) {
  shuffle(out, direction, mask, sources, width);
}

// Ballot, any and all of the lanes in the mask.
extern "C" __global__ void __launch_bounds__(64)
    vote(unsigned* out, unsigned mask, const int* predicates) {
  if (!((mask >> threadIdx.x % 32) & 1)) return;
  int predicate = predicates[threadIdx.x];
  out[3 * threadIdx.x] = __ballot_sync(mask, predicate);
  out[3 * threadIdx.x + 1] = __any_sync(mask, predicate) != 0;
  out[3 * threadIdx.x + 2] = __all_sync(mask, predicate) != 0;
}

// Two groups of lanes, each in its own operations at the same time.
extern "C" __global__ void __launch_bounds__(32) two_groups(int* out) {
  int value = threadIdx.x;
  for (int i = 0; i < 3; ++i)
    value = threadIdx.x < 16 ? __shfl_down_sync(0x0000ffffu, value, 1, 16)
                             : __shfl_xor_sync(0xffff0000u, value, 1 << i);
  out[threadIdx.x] = value;
}

// Each lane writes, and behind the warp's barrier reads its neighbour's.
extern "C" __global__ void __launch_bounds__(64) neighbours(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = threadIdx.x;
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}
