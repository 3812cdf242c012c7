// Unit descriptors of asked places on a grid, norms of descriptors, and rows on 16-byte bounds.
#pragma once
#include "warp.cuh"

enum How { NEAREST = 0, BILINEAR = 1 };

__device__ __forceinline__ float warp_largest(float value) {
#pragma unroll
  for (int step = 16; step; step /= 2)
    value = fmaxf(value, __shfl_xor_sync(WHOLE_WARP, value, step));
  return value;
}

// Halves up. x + 0.5f would round what is just below a half up, too.
__device__ __forceinline__ float nearest_whole(float x) {
  const float low = floorf(x);
  return x - low >= 0.5f ? low + 1.0f : low;
}

// The four cells around a place, and their weights; for NEAREST the first has them all.
struct Corners {
  long long cell[4];
  float weight[4];

  // Cell centres are whole numbers; places beyond the border get the border's descriptors. NaN has
  // no place: its weights are NaN.
  __device__ __forceinline__ Corners(float x, float y, int height, int width, int how) {
    const float limit_x = static_cast<float>(width - 1), limit_y = static_cast<float>(height - 1);
    const float at_x = how == NEAREST ? nearest_whole(x) : x;
    const float at_y = how == NEAREST ? nearest_whole(y) : y;
    const float inside_x = fminf(fmaxf(at_x, 0.0f), limit_x);  // of NaN: 0
    const float inside_y = fminf(fmaxf(at_y, 0.0f), limit_y);
    const int left = static_cast<int>(inside_x), top = static_cast<int>(inside_y);
    const int right = min(left + 1, width - 1), bottom = min(top + 1, height - 1);
    const float share_x = inside_x - static_cast<float>(left);
    const float share_y = inside_y - static_cast<float>(top);
    const bool nowhere = x != x || y != y;
    const float whole = nowhere ? not_a_number() : 1.0f;
    const int rows[4] = {top, top, bottom, bottom}, columns[4] = {left, right, left, right};
    const float weights[4] = {(1 - share_y) * (1 - share_x), (1 - share_y) * share_x,
                              share_y * (1 - share_x), share_y * share_x};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      cell[i] = static_cast<long long>(rows[i]) * width + columns[i];
      weight[i] = whole * weights[i];
    }
  }

  __device__ __forceinline__ explicit Corners(long long only)
      : cell{only, 0, 0, 0}, weight{1.0f, 0.0f, 0.0f, 0.0f} {}

  // Cells of weight 0 are not read: what lies there must not matter, even NaN.
  template <typename T>
  __device__ __forceinline__ float value(const T* features, int channels, int channel) const {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (weight[i] != 0.0f)
        sum = fmaf(weight[i], to_float(features[cell[i] * channels + channel]), sum);
    return sum;
  }
};

// out (K, C) = v / |v| for the vectors v at the places xy (K, 2) of features (H, W, C), or at its
// first K cells without xy; of a zero vector 0, of one that is not finite NaN throughout. One warp
// a place.
//
// Bytes: the 1 or 4 cells' C values from L2 once (the second and third sweep find them in L1), C
// written. All loads of a warp are next to one another. v is divided by its largest magnitude
// first, so that squares neither overflow nor vanish.
template <typename T>
__device__ void sample_places(const T* __restrict__ features, const float* __restrict__ xy,
                              T* __restrict__ out, int height, int width, int channels, int count,
                              int how) {
  const int place = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (place >= count) return;  // the whole warp
  const Corners corners = xy ? Corners(xy[2 * place], xy[2 * place + 1], height, width, how)
                             : Corners(place);
  float largest = 0.0f, unsound = 0.0f;
  for (int c = lane; c < channels; c += 32) {
    const float value = corners.value(features, channels, c);
    largest = fmaxf(largest, fabsf(value));
    unsound += value * 0.0f;  // NaN where the value is not finite
  }
  largest = warp_largest(largest);
  const bool sound = warp_sum(unsound) == 0.0f;
  float squares = 0.0f;
  for (int c = lane; c < channels; c += 32) {
    const float part = largest > 0.0f ? corners.value(features, channels, c) / largest : 0.0f;
    squares = fmaf(part, part, squares);
  }
  const float norm = sqrtf(warp_sum(squares));
  T* row = out + static_cast<long long>(place) * channels;
  for (int c = lane; c < channels; c += 32) {
    const float value = corners.value(features, channels, c);
    const float part = largest > 0.0f ? value / largest / norm : 0.0f;
    row[c] = from_float<T>(sound ? part : not_a_number());
  }
}

enum Measure { INVERSE_NORM = 0, HALF_SQUARE = 1 };

// Of every row v of (N, C), C a multiple of a packet: 1 / |v|, or |v|^2 / 2. 1 / |v| is 0 of a zero
// vector, and of one so short that it would be infinite; NaN where v is not finite. One warp a row.
//
// Bytes: N C values once, 4 N written; 512 bytes a load of a warp. Where the sum of squares leaves
// the range in which float32 is exact, the row is read again (from L1) and scaled by its largest.
template <typename T>
__device__ void measure_rows(const T* __restrict__ rows, float* __restrict__ out, int count,
                             int channels, int measure) {
  constexpr int size = Packet<T>::size;
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= count) return;  // the whole warp
  const T* from = rows + static_cast<long long>(row) * channels;
  float values[size], squares = 0.0f;
  for (int c = lane * size; c < channels; c += 32 * size) {
    Packet<T>::load(values, from + c);
#pragma unroll
    for (int i = 0; i < size; ++i) squares = fmaf(values[i], values[i], squares);
  }
  squares = warp_sum(squares);
  float result = measure == HALF_SQUARE ? 0.5f * squares : 1.0f / sqrtf(squares);
  if (measure == INVERSE_NORM && !(squares > 1e-20f && squares < 1e38f)) {
    float largest = 0.0f, scaled = 0.0f;
    for (int c = lane; c < channels; c += 32) largest = fmaxf(largest, fabsf(to_float(from[c])));
    largest = warp_largest(largest);
    for (int c = lane; c < channels; c += 32) {
      const float part = to_float(from[c]) / largest;  // NaN where the value is not finite
      scaled = fmaf(part, part, scaled);
    }
    scaled = warp_sum(scaled);
    result = squares == 0.0f && largest == 0.0f ? 0.0f : 1.0f / sqrtf(scaled) / largest;
    if (result == infinity()) result = 0.0f;
    if (largest == infinity()) result = not_a_number();
  }
  if (lane == 0) out[row] = result;
}

// Rows (N, C) copied to (N, padded), zeros behind C. One thread a value.
template <typename T>
__device__ void pad_rows(const T* __restrict__ rows, T* __restrict__ out, int count, int channels,
                         int padded) {
  const long long all = static_cast<long long>(count) * padded;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < all;
       i += step) {
    const long long row = i / padded;
    const int channel = static_cast<int>(i % padded);
    out[i] = channel < channels ? rows[row * channels + channel] : from_float<T>(0.0f);
  }
}
