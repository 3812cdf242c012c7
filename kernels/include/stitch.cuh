// Overlapping windows of features, laid on one map: where several lie, their mean.
#pragma once
#include "primitives.cuh"

// A map is (outer, rows, columns, inner): (C, rows, columns, 1) where channels come first, else
// (1, rows, columns, C).
struct Extent {
  int outer, rows, columns, inner;
  __device__ __forceinline__ long long size() const {
    return static_cast<long long>(outer) * rows * columns * inner;
  }
};

// windows (count, outer, rows, columns, inner) at begins (count, 2), row and column, to `stitched`.
//
// A thread makes one number: neighbours lie in order in the map, and in every window but at its
// border. Each window is read once, the map written once: 4 x 1280 x 16^2 and 1280 x 30^2 floats
// are 5.2 and 4.6 MB.
template <typename T>
__device__ __forceinline__ void stitch(const T* windows, int count, const Extent& window,
                                       const int* begins, const Extent& map, T* stitched) {
  const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= map.size()) return;
  const int inner = static_cast<int>(index % map.inner);
  const long long cell = index / map.inner;
  const int column = static_cast<int>(cell % map.columns);
  const int row = static_cast<int>(cell / map.columns % map.rows);
  const long long outer = cell / map.columns / map.rows;

  float sum = 0.0f;
  int covering = 0;
  for (int i = 0; i < count; ++i) {
    const int y = row - begins[2 * i], x = column - begins[2 * i + 1];
    if (y < 0 || y >= window.rows || x < 0 || x >= window.columns) continue;
    const long long there = ((outer * window.rows + y) * window.columns + x) * window.inner + inner;
    sum += to_float(windows[i * window.size() + there]);
    ++covering;
  }
  stitched[index] = from_float<T>(sum / static_cast<float>(covering));
}
