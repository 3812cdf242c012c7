// Where the cells of a grid lie between the cells of a map: bilinear, half-pixel centres, the edge
// held, no antialiasing. In whole numbers, so that every size gives the exact share.
#pragma once
#include "primitives.cuh"

struct Between {
  int low, high;
  float share;  // of the higher one
};

// Cell `index` of `wanted` along a line of `cells`: (index + 1/2) cells / wanted - 1/2, clamped.
// Where the lower one has it all, it is the higher one too: what lies beside is not read, as it may
// be NaN.
// Whole must hold 2 wanted cells.
template <typename Whole>
__device__ __forceinline__ Between between(int index, int cells, int wanted) {
  const Whole parts = 2 * static_cast<Whole>(wanted);
  const Whole position = (2 * static_cast<Whole>(index) + 1) * cells - wanted;  // in 1 / parts
  if (position <= 0) return {0, 0, 0.0f};
  const Whole low = position / parts;
  if (low >= cells - 1) return {cells - 1, cells - 1, 0.0f};
  const Whole rest = position - low * parts;
  return {static_cast<int>(low), static_cast<int>(low) + (rest != 0),
          static_cast<float>(rest) / static_cast<float>(parts)};
}

__device__ __forceinline__ float mixed(float low, float high, float share) {
  return low * (1.0f - share) + high * share;
}
