// One mistake each, which the engine has to name.
#include "primitives.cuh"

constexpr unsigned ALL = 0xffffffffu;

extern "C" __global__ void fine(float* out) { out[threadIdx.x] = 1.0f; }

// ---- barriers ----
extern "C" __global__ void half_a_barrier(float* out) {
  if (threadIdx.x % 2) __syncthreads();
  else __syncwarp();
  out[threadIdx.x] = 1.0f;
}
extern "C" __global__ void returned_before_barrier(float* out) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  out[threadIdx.x] = 1.0f;
}
extern "C" __global__ void two_barriers(float* out) {
  if (threadIdx.x < 32) __syncthreads();
  else __syncthreads_or(1);
  out[threadIdx.x] = 1.0f;
}

// ---- warp operations ----
extern "C" __global__ void half_a_warp(float* out) {
  float value = 0.0f;
  if (threadIdx.x < 16) value = __shfl_xor_sync(ALL, value, 1);
  out[threadIdx.x] = value;
}
extern "C" __global__ void not_in_own_mask(float* out) {
  out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.0f, 1);
}
extern "C" __global__ void reads_outside_mask(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.0f, 16);
}
extern "C" __global__ void masks_overlap(float* out) {
  out[threadIdx.x] = __shfl_xor_sync(threadIdx.x < 16 ? ALL : 0xffff0000u, 1.0f, 1);
}
extern "C" __global__ void operations_meet(float* out) {
  out[threadIdx.x] =
      threadIdx.x < 16 ? __shfl_xor_sync(ALL, 1.0f, 1) : __shfl_down_sync(ALL, 1.0f, 1);
}
extern "C" __global__ void odd_width(float* out) {
  out[threadIdx.x] = __shfl_sync(ALL, 1.0f, 0, 12);
}

// ---- memory: element `i` of 64 floats ----
extern "C" __global__ void read_at(float* out, int i) { out[threadIdx.x] += out[i]; }
extern "C" __global__ void write_at(float* out, int i) { out[i] = 1.0f; }
extern "C" __global__ void read_dynamic(float* out, int i) {
  DYNAMIC_SHARED(bytes);
  out[threadIdx.x] = reinterpret_cast<float*>(bytes)[i];
}
extern "C" __global__ void write_dynamic(float* out, int i) {
  DYNAMIC_SHARED(bytes);
  reinterpret_cast<float*>(bytes)[i] = out[threadIdx.x];
}
__device__ int deep(int level, volatile char* above) {
  volatile char mine[1024];
  mine[0] = above ? above[0] : 0;
  return level ? deep(level - 1, mine) + mine[0] : 0;
}
extern "C" __global__ void deep_stack(float* out, int levels) { out[0] = deep(levels, nullptr); }
extern "C" __global__ void divide(float* out, int by) { out[0] = 7 / by; }

// ---- copies and fragments ----
extern "C" __global__ void misaligned_copy(const float* from) {
  __shared__ __align__(16) float stage[8];
  copy_async_16(stage, from + 1, true);
  copy_async_commit();
  copy_async_wait<0>();
}
extern "C" __global__ void copy_to_global(float* to, const float* from) {
  copy_async_16(to, from, true);
  copy_async_commit();
  copy_async_wait<0>();
}
extern "C" __global__ void copy_without_wait(const float* from) {
  __shared__ __align__(16) float stage[4];
  copy_async_16(stage, from, true);
  copy_async_commit();
}
extern "C" __global__ void copy_without_group(const float* from) {
  __shared__ __align__(16) float stage[4];
  copy_async_16(stage, from, true);
  copy_async_wait<0>();
}
extern "C" __global__ void misaligned_matrix(unsigned* out) {
  __shared__ __align__(16) half16 stage[264];
  unsigned fragment[4];
  load_matrices(fragment, stage + 8 * threadIdx.x + 1);
  out[threadIdx.x] = fragment[0];
}

extern "C" __global__ void __launch_bounds__(64, 2) bounded(float* out) { out[threadIdx.x] = 1.0f; }
