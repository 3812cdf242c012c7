// Windowed soft-argmax of many queries: the similarities as a matrix product in tiles, each of
// which leaves its queries' expectations.
//
// Query by query, each reads its window: 3600 queries with 15 x 15 cells of 768 halves take 1.2 GB
// from L2, with the whole grid 20 GB. By tiles it is 331 MB, or less, as tiles outside all of their
// 128 queries' windows are left out; the expectations add 16 bytes a query for
// every 64 cells (32 in float32).
#pragma once
#include "softargmax.cuh"
#include "tile.cuh"

// Where a tile's cells lie; those behind the last one are in no window.
struct Place {
  int x, y;

  __device__ __forceinline__ Place(int cell, int count, int width)
      : x(cell % width), y(cell < count ? cell / width : 0x3fffffff) {}
  __device__ __forceinline__ bool within(int radius, int peak_x, int peak_y) const {
    return abs(x - peak_x) <= radius && abs(y - peak_y) <= radius;
  }
};

// The expectation over this thread's columns of its i-th row, whose peak is given.
template <typename T>
__device__ __forceinline__ Expectation expectation_of_row(Products<T>& products, int i,
                                                          const Place* places, int peak_x,
                                                          int peak_y, Estimator how) {
  constexpr int columns = Products<T>::columns;
  float kept[columns], highest = -infinity();
  bool any = false;
#pragma unroll
  for (int j = 0; j < columns; ++j) {
    Place place = places[Products<T>::column(j)];
    bool inside = place.within(how.radius, peak_x, peak_y);
    float similarity = is_finite(products.at(i, j)) ? products.at(i, j) : not_a_number();
    if (how.narrowness > 0.0f) {
      float x = static_cast<float>(place.x - peak_x), y = static_cast<float>(place.y - peak_y);
      similarity *= expf(-(x * x + y * y) * how.narrowness);
    }
    kept[j] = inside ? similarity : -infinity();
    highest = fmaxf(highest, kept[j]);
    any = any || inside;
  }
  if (!any) return no_cells();
  Expectation found = {highest, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int j = 0; j < columns; ++j) {
    Place place = places[Products<T>::column(j)];
    float weight = expf((kept[j] - highest) * how.sharpness);
    found.weight += weight;
    found.x = fmaf(weight, static_cast<float>(place.x - peak_x), found.x);
    found.y = fmaf(weight, static_cast<float>(place.y - peak_y), found.y);
  }
  return found;
}

// Whether the window of one of the block's queries may hold one of the cells first to last.
__device__ __forceinline__ bool is_needed(const unsigned long long* keys, int count, int first,
                                          int last, int width, int radius) {
  int query = blockIdx.y * TILE + threadIdx.x;
  int peak = threadIdx.x < TILE && query < count ? peak_of(keys[query]) : -1;
  int y = peak / width;
  return __syncthreads_or(peak >= 0 && y - radius <= last / width && y + radius >= first / width);
}

// Block (i, j) leaves the expectations of its 128 queries (j) over its 128 cells (i): parts
// (K, shares, 4), a share for each of the warps beside one another in each of the blocks i.
template <typename T>
__device__ __forceinline__ void expectations_of_tile(
    const Rows<T>& queries, const Rows<T>& target, const unsigned long long* __restrict__ keys,
    int width, int channels, Estimator how, float4* __restrict__ parts) {
  constexpr int across = Products<T>::across;
  DYNAMIC_SHARED(stages);
  const int first_query = blockIdx.y * TILE, first_cell = blockIdx.x * TILE;
  const int shares = gridDim.x * across;
  const int share = blockIdx.x * across + threadIdx.x / 32 % across;
  const bool needed = is_needed(keys, queries.count, first_cell,
                                min(first_cell + TILE, target.count) - 1, width, how.radius);
  Products<T> products;
  products.clear();
  Place* places = reinterpret_cast<Place*>(stages);
  if (needed) {
    multiply_tile(products, stages, queries, target, first_query, first_cell, channels);
    __syncthreads();  // nobody reads the stages any more
    if (threadIdx.x < TILE)
      places[threadIdx.x] = Place(first_cell + threadIdx.x, target.count, width);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < THREAD_ROWS; ++i) {
    const int query = first_query + Products<T>::first_row() + Products<T>::row(i);
    const int peak = query < queries.count ? peak_of(keys[query]) : -1;
    Expectation found = no_cells();
    if (needed && peak >= 0)
      found = expectation_of_row(products, i, places + Products<T>::first_column(), peak % width,
                                 peak / width, how);
    found = merged_among_lanes<2>(found, how.sharpness);
    if (threadIdx.x % 4 == 0 && query < queries.count)
      parts[static_cast<long long>(query) * shares + share] = as_part(found);
  }
}
