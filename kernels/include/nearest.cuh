// What the searches for the most similar share: scores, masks, and the best so far.
#pragma once
#include "warp.cuh"

// Rows (count, channels) that are compared, and what makes a score of a dot product with them:
// score = dot * scale + offset, scale 1 and offset 0 where there is none. With scale 1 / |v| it is
// the cosine (times the other's norm), with offset -|v|^2 / 2 the row of the highest score is the
// nearest by Euclidean distance: |u - v|^2 = |u|^2 - 2 (u.v - |v|^2 / 2). `inside`: 0 leaves a row
// out.
template <typename T> struct Rows {
  const T* values;
  const float* scale;
  const float* half_square;
  const unsigned char* inside;
  int count;

  __device__ __forceinline__ bool has(int row) const {
    return row < count && (!inside || inside[row]);
  }
  // A row that is left out scores -infinity: its dot products are 0, as its copies are zeros, or
  // NaN where the other row is not finite.
  __device__ __forceinline__ float2 term(int row) const {
    if (!has(row)) return make_float2(0.0f, -infinity());
    return make_float2(scale ? scale[row] : 1.0f, half_square ? -half_square[row] : 0.0f);
  }
};

// The key of a dot product that is not finite is that of a NaN: above all others, so that what is
// not finite in a query or in any row shows in the answer.
__device__ __forceinline__ unsigned long long scored_key(float dot, float2 term, int index) {
  return candidate_key(is_finite(dot) ? fmaf(dot, term.x, term.y) : not_a_number(), index);
}
__device__ __forceinline__ unsigned long long warp_best(unsigned long long key) {
#pragma unroll
  for (int step = 16; step; step /= 2) key = max(key, __shfl_xor_sync(WHOLE_WARP, key, step));
  return key;
}

// Keys (passes, K) to the index and the score of each, (K, passes); -1 and -infinity where a key is
// 0. One thread a key; 16 bytes each.
__device__ __forceinline__ void decode_keys(const unsigned long long* __restrict__ keys,
                                            int* __restrict__ indices, float* __restrict__ scores,
                                            int queries, int passes) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= queries * passes) return;
  const unsigned long long key = keys[i % passes * static_cast<long long>(queries) + i / passes];
  indices[i] = key ? key_index(key) : -1;
  scores[i] = key ? key_score(key) : -infinity();
}
