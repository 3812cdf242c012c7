// Accesses that only a barrier orders, which `safe` asks for.
#include "primitives.cuh"

extern "C" __global__ void __launch_bounds__(64) block_barrier(int* out, int safe) {
  __shared__ int values[64];
  values[threadIdx.x] = threadIdx.x;
  if (safe) __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(64) warp_barrier(int* out, int safe) {
  __shared__ int values[64];
  values[threadIdx.x] = threadIdx.x;
  if (safe) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

// A warp's barrier orders no other warp.
extern "C" __global__ void __launch_bounds__(64) too_small_a_barrier(int* out, int safe) {
  __shared__ int values[64];
  values[threadIdx.x] = threadIdx.x;
  if (safe) __syncthreads();
  else __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 32];
}

// A shuffle brings values together, but orders no memory.
extern "C" __global__ void __launch_bounds__(32) shuffle(int* out, int safe) {
  __shared__ int values[32];
  values[threadIdx.x] = __shfl_xor_sync(0xffffffffu, static_cast<int>(threadIdx.x), 1);
  __shfl_xor_sync(0xffffffffu, 1, 1);
  if (safe) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

// All read, then one writes: who wrote was the last to read in one order or another.
template <typename Barrier>
__device__ void overwritten(int* out, int writer, Barrier barrier) {
  __shared__ int value;
  if (threadIdx.x == 0) value = 7;
  __syncthreads();
  out[threadIdx.x] = value;
  barrier();
  if (threadIdx.x == writer) value = 8;
}
extern "C" __global__ void __launch_bounds__(64) overwritten_first(int* out, int safe) {
  overwritten(out, 0, [=] { if (safe) __syncthreads(); });
}
extern "C" __global__ void __launch_bounds__(64) overwritten_last(int* out, int safe) {
  overwritten(out, 63, [=] { if (safe) __syncthreads(); });
}
extern "C" __global__ void __launch_bounds__(64) overwritten_in_warp(int* out, int safe) {
  overwritten(out, 63, [=] { if (safe) __syncthreads(); else __syncwarp(); });
}

// Blocks add to one number.
extern "C" __global__ void __launch_bounds__(32) blocks(int* out, int safe) {
  if (threadIdx.x) return;
  if (safe) atomicAdd(out, 1);
  else *out += 1;
}

// One block writes what another reads; nothing orders them, so the safe way is not to.
extern "C" __global__ void __launch_bounds__(32) other_block(int* out, int safe) {
  int mine = blockIdx.x * 32 + threadIdx.x;
  out[mine] = out[safe ? mine : static_cast<int>(threadIdx.x)] + 1;
}

extern "C" __global__ void __launch_bounds__(32) unwritten(int* out, int safe) {
  __shared__ int values[32];
  if (safe || threadIdx.x != 5) values[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = values[31 - threadIdx.x];
}

// The copy's own thread sees it behind the wait, others behind a barrier too.
extern "C" __global__ void __launch_bounds__(32) copied(int* out, int safe) {
  __shared__ int4 stage[32];
  copy_async_16(&stage[threadIdx.x], out + 4 * threadIdx.x, true);
  copy_async_commit();
  copy_async_wait<0>();
  if (safe) __syncthreads();
  int taken = stage[threadIdx.x ^ 1].x;
  __syncthreads();
  out[threadIdx.x] = taken;
}
