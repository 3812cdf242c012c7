// Asynchronous copies: each thread copies 16 bytes for each group, and reads them behind waits.
#include "primitives.cuh"

constexpr int GROUPS = 3;

// out: for each group, what this thread's 4 floats are once the group has been waited for.
extern "C" __global__ void __launch_bounds__(32)
    groups(float4* out, const float4* from, const unsigned char* there) {
  __shared__ float4 stage[GROUPS][32];
  int thread = threadIdx.x;
  for (int group = 0; group < GROUPS; ++group) {
    int cell = group * 32 + thread;
    copy_async_16(&stage[group][thread], from + cell, there[cell]);
    copy_async_commit();
  }
  copy_async_wait<2>();
  out[thread] = stage[0][thread];
  copy_async_wait<0>();
  out[32 + thread] = stage[1][thread];
  out[64 + thread] = stage[2][thread];
}

// Reads before the wait, which is an error of the kernel's: the two extremes of when a copy
// happens.
extern "C" __global__ void __launch_bounds__(32) too_early(float4* out, const float4* from) {
  __shared__ float4 stage[32];
  stage[threadIdx.x] = make_float4(1, 1, 1, 1);
  copy_async_16(&stage[threadIdx.x], from + threadIdx.x, true);
  copy_async_commit();
  out[threadIdx.x] = stage[threadIdx.x];
  copy_async_wait<0>();
  out[32 + threadIdx.x] = stage[threadIdx.x];
}
