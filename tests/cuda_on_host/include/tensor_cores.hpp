// What the kernels' primitives.cuh writes in PTX, with the same names: half precision, asynchronous
// copies, and matrix fragments as the PTX ISA lays them out.
#pragma once
#include <immintrin.h>
#include "warp.hpp"

struct half16 { unsigned short bits; };

inline float to_float(float x) { return x; }
inline float to_float(half16 x) { return _cvtsh_ss(x.bits); }
template <typename T> T from_float(float x);
template <> inline float from_float<float>(float x) { return x; }
template <> inline half16 from_float<half16>(float x) {
  return {static_cast<unsigned short>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))};
}

inline void copy_async_16(void* to, const void* from, bool there) {
  cuda_on_host::copy_async(to, from, 16, there);
}
inline void copy_async_commit() { cuda_on_host::close_copy_group(); }
template <int pending> void copy_async_wait() { cuda_on_host::wait_for_copies(pending); }

inline void load_matrices(unsigned (&fragment)[4], const void* row) {
  using namespace cuda_on_host;
  if (reinterpret_cast<uintptr_t>(row) % 16)
    fail("ldmatrix: a row's address is not a multiple of 16");
  const Slot* slots = meet(0xffffffffu, packed(row), "ldmatrix");
  unsigned lane = position->lane;
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    auto* words = unpacked<const unsigned*>(slots[8 * matrix + lane / 4]);
    fragment[matrix] = words[lane % 4];
  }
}

namespace cuda_on_host {

struct Fragments { unsigned a[4], b[2]; };

// Half number `half` of a lane's registers.
inline float half_of(const unsigned* registers, unsigned half) {
  return _cvtsh_ss(static_cast<unsigned short>(registers[half / 2] >> (half % 2 * 16)));
}

}  // namespace cuda_on_host

// Products are exact and summed one after the other in float; the device's order and rounding
// inside a sum of 16 are its own.
inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  using namespace cuda_on_host;
  const Slot* slots = meet(0xffffffffu, packed(Fragments{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}),
                           "mma");
  unsigned row = position->lane / 4, column = position->lane % 4 * 2;
  float rows[2][16], columns[2][16];
  for (unsigned k = 0; k < 16; ++k) {
    unsigned pair = k % 8 / 2, high = k / 8, odd = k % 2;
    auto* of_row = reinterpret_cast<const Fragments*>(slots[4 * row + pair].bytes);
    for (unsigned i = 0; i < 2; ++i) {  // rows `row` and `row + 8`
      rows[i][k] = half_of(of_row->a, (2 * high + i) * 2 + odd);
      auto* of_column = reinterpret_cast<const Fragments*>(slots[4 * (column + i) + pair].bytes);
      columns[i][k] = half_of(of_column->b, 2 * high + odd);
    }
  }
  for (unsigned i = 0; i < 2; ++i)
    for (unsigned j = 0; j < 2; ++j) {
      float sum = 0.0f;
      for (unsigned k = 0; k < 16; ++k) sum += rows[i][k] * columns[j][k];
      d[2 * i + j] += sum;
    }
}
