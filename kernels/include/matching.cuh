// Rows of one array gathered into another: out[k] = rows[index[k]].
//
// K rows in and out, a warp a row, 16 bytes a thread. A row without an index (-1) gets all bits
// set, which is NaN in float32 and in float16.
#pragma once
#include "warp.cuh"

constexpr int GATHER_THREADS = 128;

// length: packets of 16 bytes in a row.
__device__ __forceinline__ void gathered(const uint4* __restrict__ rows,
                                         const int* __restrict__ index, int count, int length,
                                         uint4* __restrict__ out) {
  constexpr unsigned all = 0xffffffffu;
  int k = blockIdx.x * (GATHER_THREADS / 32) + threadIdx.x / 32;
  if (k >= count) return;
  int row = index[k];
  for (int i = threadIdx.x % 32; i < length; i += 32)
    out[static_cast<long long>(k) * length + i] =
        row < 0 ? make_uint4(all, all, all, all) : rows[static_cast<long long>(row) * length + i];
}
