// What decides whether an image or its mirror image faces the way the target does: mean distances
// of matched descriptors (adaptive pose alignment of "Telling Left from Right", CVPR 2024, 4.1).
#pragma once
#include "bilinear.cuh"
#include "warp.cuh"

constexpr int RESIZED_THREADS = 256;
constexpr int MEAN_THREADS = 1024;

// A map (height, width, channels) on a grid of rows x columns cells: bilinear, half-pixel centres,
// no antialiasing, not normalised. A block takes a cell; its threads take neighbouring channels, so
// loads and stores are whole lines. rows columns C elements are written, and those of the four
// cells around each read, mostly from L2.
template <typename T>
__device__ __forceinline__ void resized(const T* __restrict__ map, int height, int width,
                                        int channels, int rows, int columns, T* __restrict__ out) {
  int column = blockIdx.x % columns, row = blockIdx.x / columns;
  Between x = between<long long>(column, width, columns);
  Between y = between<long long>(row, height, rows);
  const T* top = map + static_cast<long long>(y.low) * width * channels;
  const T* bottom = map + static_cast<long long>(y.high) * width * channels;
  long long left = static_cast<long long>(x.low) * channels;
  long long right = static_cast<long long>(x.high) * channels;
  T* cell = out + static_cast<long long>(blockIdx.x) * channels;
  for (int c = threadIdx.x; c < channels; c += RESIZED_THREADS) {
    float of_left = mixed(to_float(top[left + c]), to_float(bottom[left + c]), y.share);
    float of_right = mixed(to_float(top[right + c]), to_float(bottom[right + c]), y.share);
    cell[c] = from_float<T>(mixed(of_left, of_right, x.share));
  }
}

// mean(distance[i]) over the rows i that have a nearest one, forward[i] >= 0, and where `backward`
// is given are the nearest of theirs too; infinite where there is none, NaN where any distance is.
// One block, so that the order of the sum is always the same; 12 bytes a row.
__device__ __forceinline__ void mean_distance(const float* __restrict__ distance,
                                              const int* __restrict__ forward,
                                              const int* __restrict__ backward, int count,
                                              float* __restrict__ mean) {
  __shared__ float sums[MEAN_THREADS / 32];
  __shared__ float counts[MEAN_THREADS / 32];
  float sum = 0.0f, counted = 0.0f;
  for (int i = threadIdx.x; i < count; i += MEAN_THREADS) {
    int row = forward[i];
    bool number = distance[i] == distance[i];
    if (number && (row < 0 || (backward && backward[row] != i))) continue;
    sum += distance[i];
    counted += 1.0f;
  }
  sum = warp_sum(sum);
  counted = warp_sum(counted);
  if (threadIdx.x % 32 == 0) {
    sums[threadIdx.x / 32] = sum;
    counts[threadIdx.x / 32] = counted;
  }
  __syncthreads();
  if (threadIdx.x >= 32) return;
  sum = warp_sum(sums[threadIdx.x]);
  counted = warp_sum(counts[threadIdx.x]);
  if (threadIdx.x == 0) *mean = counted > 0.0f ? sum / counted : infinity();
}
