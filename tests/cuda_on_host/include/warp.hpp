// Barriers, votes and shuffles, as the CUDA C++ Programming Guide has them.
#pragma once
#include <type_traits>
#include "engine.hpp"

inline void __syncthreads() {
  cuda_on_host::block_barrier(cuda_on_host::Reduction::none, 0, "__syncthreads");
}
inline int __syncthreads_or(int predicate) {
  return cuda_on_host::block_barrier(cuda_on_host::Reduction::any, predicate, "__syncthreads_or");
}
inline int __syncthreads_and(int predicate) {
  return cuda_on_host::block_barrier(cuda_on_host::Reduction::all, predicate, "__syncthreads_and");
}
inline int __syncthreads_count(int predicate) {
  return cuda_on_host::block_barrier(cuda_on_host::Reduction::count, predicate,
                                     "__syncthreads_count");
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { cuda_on_host::warp_barrier(mask); }
inline unsigned __activemask() { return cuda_on_host::lanes_that_run(); }

namespace cuda_on_host {

template <typename T> Slot packed(const T& value) {
  static_assert(sizeof(T) <= sizeof(Slot) && std::is_trivially_copyable_v<T>);
  Slot slot;
  __builtin_memcpy(slot.bytes, &value, sizeof value);
  return slot;
}
template <typename T> T unpacked(const Slot& slot) {
  T value;
  __builtin_memcpy(&value, slot.bytes, sizeof value);
  return value;
}

// The value of lane `from`. A lane whose source lies outside its segment keeps its own.
template <typename T>
T shuffled(unsigned mask, T value, int from, bool inside, const char* operation) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "a shuffle takes numbers of 32 or 64 bits");
  const Slot* slots = meet(mask, packed(value), operation);
  if (!inside) return value;
  if (!(mask & position->warp & (1u << from))) fail("a shuffle reads a lane outside its mask");
  return unpacked<T>(slots[from]);
}

// The segment of `width` lanes that a lane belongs to.
struct Segment {
  int lane, first, width;
  explicit Segment(int width)
      : lane(static_cast<int>(position->lane)), first(lane & ~(width - 1)), width(width) {
    if (width < 1 || width > 32 || (width & (width - 1)))
      fail("a shuffle's width is no power of two");
  }
  int end() const { return first + width; }
};

}  // namespace cuda_on_host

template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  cuda_on_host::Segment segment(width);
  return cuda_on_host::shuffled(mask, value, segment.first + (source & (width - 1)), true,
                                "__shfl_sync");
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned steps, int width = 32) {
  cuda_on_host::Segment segment(width);
  int from = segment.lane - static_cast<int>(steps);
  return cuda_on_host::shuffled(mask, value, from, from >= segment.first, "__shfl_up_sync");
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned steps, int width = 32) {
  cuda_on_host::Segment segment(width);
  int from = segment.lane + static_cast<int>(steps);
  return cuda_on_host::shuffled(mask, value, from, from < segment.end(), "__shfl_down_sync");
}
// A source in an earlier segment may be read, one in a later one not.
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  cuda_on_host::Segment segment(width);
  int from = segment.lane ^ lanes;
  return cuda_on_host::shuffled(mask, value, from, from < segment.end(), "__shfl_xor_sync");
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  using namespace cuda_on_host;
  const Slot* slots = meet(mask, packed(predicate), "__ballot_sync");
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (unpacked<int>(slots[lane])) votes |= 1u << lane;
  return votes & mask & position->warp;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
