// Windowed soft-argmax ("Telling Left from Right", CVPR 2024): the expected cell
//   sum(w_c c) / sum(w_c),  w_c = exp(s_c / T),
// over the cells c around a query's most similar one, s_c being their similarities with it.
//
// The similarities are computed again, because keeping them would write and read K M floats. A
// query reads the n rows of its window, n C elements: 12 queries with a window of 15 x 15 read 8.3
// MB of 768 floats, all from L2, where the search for the peak has just left the target. One
// multiprocessor takes about 64 bytes of L2 a clock, so a query's window is split among blocks as
// long as that fills the device. A second launch brings the parts together, so that no block has to
// know when others have written: no fences, and no counts that outlive a launch. Out go 16 bytes a
// query.
#pragma once
#include "warp.cuh"

constexpr int SOFTARGMAX_THREADS = 128;
constexpr int CELLS_TOGETHER = 4;  // rows that a warp reads at once, for one read of the query

// Weights of cells and the weighted sums of their offsets from the peak. Weights are
// exp((s - highest) / T), so that none overflows.
struct Expectation {
  float highest, weight, x, y;
};

__device__ __forceinline__ Expectation no_cells() { return {-infinity(), 0.0f, 0.0f, 0.0f}; }

// As one launch leaves it for the next.
__device__ __forceinline__ float4 as_part(Expectation each) {
  return make_float4(each.highest, each.weight, each.x, each.y);
}
__device__ __forceinline__ Expectation of_part(float4 part) {
  return {part.x, part.y, part.z, part.w};
}

// sharpness: 1 / T. What is not a number stays so.
__device__ __forceinline__ Expectation merged(Expectation a, Expectation b, float sharpness) {
  float highest = fmaxf(a.highest, b.highest);
  float of_a = a.highest == highest ? 1.0f : expf((a.highest - highest) * sharpness);
  float of_b = b.highest == highest ? 1.0f : expf((b.highest - highest) * sharpness);
  return {highest, a.weight * of_a + b.weight * of_b, a.x * of_a + b.x * of_b,
          a.y * of_a + b.y * of_b};
}

// Among lanes whose numbers differ in the bits from `highest` down.
template <int highest>
__device__ __forceinline__ Expectation merged_among_lanes(Expectation mine, float sharpness) {
#pragma unroll
  for (int step = highest; step; step /= 2) {
    Expectation other = {__shfl_xor_sync(WHOLE_WARP, mine.highest, step),
                         __shfl_xor_sync(WHOLE_WARP, mine.weight, step),
                         __shfl_xor_sync(WHOLE_WARP, mine.x, step),
                         __shfl_xor_sync(WHOLE_WARP, mine.y, step)};
    mine = merged(mine, other, sharpness);
  }
  return mine;
}
__device__ __forceinline__ Expectation merged_in_warp(Expectation mine, float sharpness) {
  return merged_among_lanes<16>(mine, sharpness);
}

// How the expected cell is asked for: cells further than `radius` rows or columns from the peak are
// left out, or where `zeroed` have similarity 0; the others' are multiplied by
// exp(-narrowness d^2) for their distance d from the peak.
struct Estimator {
  int radius;
  float sharpness, narrowness;
  bool zeroed;
};

// The cells of a grid that the estimator visits.
struct Window {
  int peak_x, peak_y, left, top, wide, high;

  __device__ __forceinline__ Window(int peak, int radius, int height, int width) {
    peak_x = peak % width;
    peak_y = peak / width;
    left = max(peak_x - radius, 0);
    top = max(peak_y - radius, 0);
    wide = min(peak_x + radius, width - 1) - left + 1;
    high = min(peak_y + radius, height - 1) - top + 1;
  }
  __device__ __forceinline__ int x(int cell) const { return left + cell % wide; }
  __device__ __forceinline__ int y(int cell) const { return top + cell / wide; }

  // Each cell outside has similarity 0, so all of them together are known without a visit.
  __device__ __forceinline__ Expectation rest(int height, int width) const {
    long long all = static_cast<long long>(height) * width;
    long long inside = static_cast<long long>(high) * wide, outside = all - inside;
    if (outside == 0) return no_cells();
    long long x = all * (width - 1) / 2 - inside * (2 * left + wide - 1) / 2;
    long long y = all * (height - 1) / 2 - inside * (2 * top + high - 1) / 2;
    return {0.0f, static_cast<float>(outside), static_cast<float>(x - outside * peak_x),
            static_cast<float>(y - outside * peak_y)};
  }
};

// This lane's part of the dot products of one row with several others.
template <typename T>
__device__ __forceinline__ void add_products(float (&sums)[CELLS_TOGETHER], const T* query,
                                             const T* const (&rows)[CELLS_TOGETHER], int channels) {
  constexpr int size = Packet<T>::size;
#pragma unroll 2
  for (int c = threadIdx.x % 32 * size; c < channels; c += 32 * size) {
    float q[size];
    Packet<T>::load(q, query + c);
#pragma unroll
    for (int i = 0; i < CELLS_TOGETHER; ++i) {
      float values[size];
      Packet<T>::load(values, rows[i] + c);
#pragma unroll
      for (int j = 0; j < size; ++j) sums[i] = fmaf(q[j], values[j], sums[i]);
    }
  }
}

// Similarities of a query with the window's cells first, first + 1, ...: lane i gets the i-th.
template <typename T>
__device__ __forceinline__ float similarity_of_lane(const T* query, const T* target,
                                                    const Window& window, int first, int width,
                                                    int channels) {
  const T* rows[CELLS_TOGETHER];
  float sums[CELLS_TOGETHER] = {};
#pragma unroll
  for (int i = 0; i < CELLS_TOGETHER; ++i) {
    int cell = min(first + i, window.wide * window.high - 1);
    long long row = static_cast<long long>(window.y(cell)) * width + window.x(cell);
    rows[i] = target + row * channels;
  }
  add_products(sums, query, rows, channels);
  float mine = 0.0f;
#pragma unroll
  for (int i = 0; i < CELLS_TOGETHER; ++i) {
    float similarity = warp_sum(sums[i]);
    if (threadIdx.x % 32 == i) mine = similarity;
  }
  return is_finite(mine) ? mine : not_a_number();
}

// The cells of a window that fall to this warp, one after the other in lanes 0 to 3.
template <typename T>
__device__ __forceinline__ Expectation expectation_of_warp(const T* query, const T* target,
                                                           const Window& window, int width,
                                                           int channels, Estimator how) {
  constexpr int warps = SOFTARGMAX_THREADS / 32;
  int lane = threadIdx.x % 32, warp = blockIdx.y * warps + threadIdx.x / 32;
  int count = window.wide * window.high, together = gridDim.y * warps * CELLS_TOGETHER;
  Expectation mine = no_cells();
  for (int first = warp * CELLS_TOGETHER; first < count; first += together) {
    float similarity = similarity_of_lane(query, target, window, first, width, channels);
    int cell = first + lane;
    if (lane < CELLS_TOGETHER && cell < count) {
      float x = static_cast<float>(window.x(cell) - window.peak_x);
      float y = static_cast<float>(window.y(cell) - window.peak_y);
      similarity *= expf(-(x * x + y * y) * how.narrowness);
      mine = merged(mine, {similarity, 1.0f, x, y}, how.sharpness);
    }
  }
  return merged_in_warp(mine, how.sharpness);
}

// What all warps of the block found: the first warp's result.
__device__ __forceinline__ Expectation merged_in_block(Expectation mine, float sharpness) {
  constexpr int warps = SOFTARGMAX_THREADS / 32;
  __shared__ Expectation of_warp[warps];
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
  __syncthreads();
  return merged_in_warp(threadIdx.x < warps ? of_warp[threadIdx.x] : no_cells(), sharpness);
}

// The cell of a key; -1 where there is none, or a value was not finite.
__device__ __forceinline__ int peak_of(unsigned long long key) {
  return key && is_finite(key_score(key)) ? key_index(key) : -1;
}

__device__ __forceinline__ void write_peak(unsigned long long key, int query, int* peaks,
                                           float* similarity) {
  int peak = peak_of(key);
  peaks[query] = peak;
  similarity[query] = peak < 0 ? not_a_number() : key_score(key);
}

__device__ __forceinline__ void write_cell(float x, float y, int query, float* cells) {
  cells[2LL * query] = x;
  cells[2LL * query + 1] = y;
}

// Writes the answer of a query for what was found in its window.
__device__ __forceinline__ void write_found(Expectation found, unsigned long long key,
                                            Estimator how, int height, int width, int query,
                                            float* cells, int* peaks, float* similarity) {
  int peak = peak_of(key);
  write_peak(key, query, peaks, similarity);
  if (peak < 0) {
    write_cell(not_a_number(), not_a_number(), query, cells);
    return;
  }
  Window window(peak, how.radius, height, width);
  if (how.zeroed) found = merged(found, window.rest(height, width), how.sharpness);
  write_cell(window.peak_x + found.x / found.weight, window.peak_y + found.y / found.weight, query,
             cells);
}

// Block (k, i) leaves the expectation over the i-th part of query k's window: parts (K, splits, 4).
// Rows begin at multiples of 16 bytes.
template <typename T>
__device__ __forceinline__ void expectations_of_windows(
    const T* __restrict__ queries, const T* __restrict__ target,
    const unsigned long long* __restrict__ keys, int height, int width, int channels, Estimator how,
    float4* __restrict__ parts) {
  int query = blockIdx.x, peak = peak_of(keys[query]);
  Expectation found = no_cells();
  if (peak >= 0) {
    Window window(peak, how.radius, height, width);
    const T* row = queries + static_cast<long long>(query) * channels;
    found = expectation_of_warp(row, target, window, width, channels, how);
  }
  found = merged_in_block(found, how.sharpness);
  if (threadIdx.x == 0)
    parts[static_cast<long long>(query) * gridDim.y + blockIdx.y] = as_part(found);
}

// Brings the parts of a query together, a warp a query.
__device__ __forceinline__ void merge_parts(const unsigned long long* __restrict__ keys,
                                            const float4* __restrict__ parts, int shares, int count,
                                            int height, int width, Estimator how,
                                            float* __restrict__ cells, int* __restrict__ peaks,
                                            float* __restrict__ similarity) {
  const int query = blockIdx.x * (SOFTARGMAX_THREADS / 32) + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  if (query >= count) return;
  Expectation found = no_cells();
  for (int i = lane; i < shares; i += 32)
    found = merged(found, of_part(parts[static_cast<long long>(query) * shares + i]),
                   how.sharpness);
  found = merged_in_warp(found, how.sharpness);
  if (lane == 0)
    write_found(found, keys[query], how, height, width, query, cells, peaks, similarity);
}

// The peaks alone: one thread a query, 8 bytes in and 16 out.
__device__ __forceinline__ void decode_peaks(const unsigned long long* __restrict__ keys, int count,
                                           int width, float* __restrict__ cells,
                                           int* __restrict__ peaks,
                                           float* __restrict__ similarity) {
  int query = blockIdx.x * blockDim.x + threadIdx.x;
  if (query >= count) return;
  write_peak(keys[query], query, peaks, similarity);
  int peak = peak_of(keys[query]);
  write_cell(peak < 0 ? not_a_number() : static_cast<float>(peak % width),
             peak < 0 ? not_a_number() : static_cast<float>(peak / width), query, cells);
}
