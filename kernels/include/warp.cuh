// What a warp does together: sums, 16-byte loads, and keys that order candidates.
#pragma once
#include "finite.cuh"

constexpr unsigned WHOLE_WARP = 0xffffffffu;

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int step = 16; step; step /= 2) value += __shfl_xor_sync(WHOLE_WARP, value, step);
  return value;
}

// 16 bytes of T as floats; the address is aligned to 16 bytes.
template <typename T> struct Packet;
template <> struct Packet<float> {
  static constexpr int size = 4;
  static __device__ __forceinline__ void load(float (&values)[4], const float* from) {
    float4 packet = *reinterpret_cast<const float4*>(from);
    values[0] = packet.x; values[1] = packet.y; values[2] = packet.z; values[3] = packet.w;
  }
};
template <> struct Packet<half16> {
  static constexpr int size = 8;
  static __device__ __forceinline__ void load(float (&values)[8], const half16* from) {
    uint4 packet = *reinterpret_cast<const uint4*>(from);
    const unsigned words[4] = {packet.x, packet.y, packet.z, packet.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[2 * i] = to_float(half16{static_cast<unsigned short>(words[i])});
      values[2 * i + 1] = to_float(half16{static_cast<unsigned short>(words[i] >> 16)});
    }
  }
};

// A candidate as one number: the larger key has the larger score, among equal scores the smaller
// index. 0 is below every candidate. NaN, of either sign, orders above every number.
__device__ __forceinline__ unsigned long long candidate_key(float score, int index) {
  const float plain = score == score ? score + 0.0f : not_a_number();  // -0 becomes 0, its equal
  unsigned bits = __float_as_uint(plain);
  bits = (bits & 0x80000000u) ? ~bits : (bits | 0x80000000u);
  return (static_cast<unsigned long long>(bits) << 32) | (0xffffffffu - static_cast<unsigned>(index));
}
__device__ __forceinline__ int key_index(unsigned long long key) {
  return static_cast<int>(0xffffffffu - static_cast<unsigned>(key));
}
__device__ __forceinline__ float key_score(unsigned long long key) {
  unsigned bits = static_cast<unsigned>(key >> 32);
  return __uint_as_float((bits & 0x80000000u) ? (bits & 0x7fffffffu) : ~bits);
}
