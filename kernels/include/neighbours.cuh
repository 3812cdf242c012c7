// From keys of nearest neighbours to indices and Euclidean distances.
//
// The distances are summed up again from the differences, |a - b|^2 = sum((a_c - b_c)^2): the key's
// a.b - |b|^2 / 2 has lost the small ones to cancellation. N C elements of a are read once, and as
// many of b, from L2; a warp takes a row.
#pragma once
#include "warp.cuh"

constexpr int NEIGHBOURS_THREADS = 128;

template <typename T>
__device__ __forceinline__ float squared_distance(const T* a, const T* b, int channels) {
  constexpr int size = Packet<T>::size;
  float sum = 0.0f;
#pragma unroll 2
  for (int c = threadIdx.x % 32 * size; c < channels; c += 32 * size) {
    float of_a[size], of_b[size];
    Packet<T>::load(of_a, a + c);
    Packet<T>::load(of_b, b + c);
#pragma unroll
    for (int j = 0; j < size; ++j) sum = fmaf(of_a[j] - of_b[j], of_a[j] - of_b[j], sum);
  }
  return warp_sum(sum);
}

// The row of a key; -1 where there is none, or a value was not finite.
__device__ __forceinline__ int row_of(unsigned long long key) {
  return key && is_finite(key_score(key)) ? key_index(key) : -1;
}

// Row i of a gets forward[i] and its distance from that row of b: infinite where there is none, NaN
// where a value is not finite. Rows begin at multiples of 16 bytes.
template <typename T>
__device__ __forceinline__ void nearest_rows(const T* __restrict__ a, const T* __restrict__ b,
                                             const unsigned long long* __restrict__ keys, int count,
                                             int channels, int* __restrict__ forward,
                                             float* __restrict__ distance) {
  int i = blockIdx.x * (NEIGHBOURS_THREADS / 32) + threadIdx.x / 32;
  if (i >= count) return;
  int row = row_of(keys[i]);
  float found = keys[i] ? not_a_number() : infinity();
  if (row >= 0) {
    const T* of_a = a + static_cast<long long>(i) * channels;
    const T* of_b = b + static_cast<long long>(row) * channels;
    found = sqrtf(squared_distance(of_a, of_b, channels));
    if (!is_finite(found)) found = not_a_number();
  }
  if (threadIdx.x % 32 != 0) return;
  forward[i] = row;
  distance[i] = found;
}

__device__ __forceinline__ void decode_rows(const unsigned long long* __restrict__ keys, int count,
                                             int* __restrict__ rows) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) rows[i] = row_of(keys[i]);
}
