// The most similar row for a few queries: limited by memory, so every row is read once.
#pragma once
#include "nearest.cuh"

constexpr int FEW_QUERIES = 16, FEW_ROWS = 32, FEW_WARPS = 8;  // of a block

// The dot products of 16 queries with 32 rows, over one warp's share of the channels. The warp
// takes `step` channels at a time, `lanes` neighbours 16 bytes each of one row, so that it reads
// whole sectors of 32 bytes; a lane has a packet of each of its rows, group, group + groups, ...,
// and of each of its queries.
template <typename T> struct FewProducts;

// mma.m16n8k16 straight from global memory, queries by rows by channels. The order of channels in a
// product is free as long as both sides have the same: lane t of four takes channels 8 t to 8 t + 7
// of 32, the first four for its k = 2 t, 2 t + 1, 2 t + 8, 2 t + 9 of one product, the rest for the
// next.
template <> struct FewProducts<half16> {
  static constexpr int lanes = 4, groups = 8, step = 32, partials = FEW_WARPS;
  struct Packets { uint4 rows[FEW_ROWS / groups], queries[2]; };
  float sums[FEW_ROWS / groups][4] = {};

  static __device__ __forceinline__ int query(int i) { return threadIdx.x % 32 / lanes + 8 * i; }
  __device__ __forceinline__ void add(const Packets& packets) {
    const uint4 low = packets.queries[0], high = packets.queries[1];
    const unsigned first[4] = {low.x, high.x, low.y, high.y};
    const unsigned second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
    for (int n = 0; n < FEW_ROWS / groups; ++n) {
      multiply_add(sums[n], first, {packets.rows[n].x, packets.rows[n].y});
      multiply_add(sums[n], second, {packets.rows[n].z, packets.rows[n].w});
    }
  }
  __device__ __forceinline__ void write(float (*partial)[FEW_QUERIES][FEW_ROWS]) const {
    const int warp = threadIdx.x / 32, t = threadIdx.x % lanes;
#pragma unroll
    for (int n = 0; n < FEW_ROWS / groups; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        partial[warp][query(i / 2)][n * groups + 2 * t + i % 2] = sums[n][i];
  }
};

// Multiply-adds. The 16 queries' packets are the same for all groups: a load of them is 32 bytes.
template <> struct FewProducts<float> {
  static constexpr int lanes = 2, groups = 16, step = 8, partials = FEW_WARPS * lanes;
  struct Packets { uint4 rows[FEW_ROWS / groups], queries[FEW_QUERIES]; };
  float sums[FEW_QUERIES][FEW_ROWS / groups] = {};

  static __device__ __forceinline__ int query(int i) { return i; }
  static __device__ __forceinline__ float dot(uint4 a, uint4 b, float sum) {
    sum = fmaf(__uint_as_float(a.x), __uint_as_float(b.x), sum);
    sum = fmaf(__uint_as_float(a.y), __uint_as_float(b.y), sum);
    sum = fmaf(__uint_as_float(a.z), __uint_as_float(b.z), sum);
    return fmaf(__uint_as_float(a.w), __uint_as_float(b.w), sum);
  }
  __device__ __forceinline__ void add(const Packets& packets) {
#pragma unroll
    for (int q = 0; q < FEW_QUERIES; ++q)
#pragma unroll
      for (int n = 0; n < FEW_ROWS / groups; ++n)
        sums[q][n] = dot(packets.queries[q], packets.rows[n], sums[q][n]);
  }
  __device__ __forceinline__ void write(float (*partial)[FEW_QUERIES][FEW_ROWS]) const {
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / lanes, t = threadIdx.x % lanes;
#pragma unroll
    for (int q = 0; q < FEW_QUERIES; ++q)
#pragma unroll
      for (int n = 0; n < FEW_ROWS / groups; ++n)
        partial[warp * lanes + t][q][n * groups + group] = sums[q][n];
  }
};

// A warp's packets from a channel on; zeros of what is not there.
template <typename T> struct FewFeed {
  using Products = FewProducts<T>;
  const T* queries;
  const Rows<T>& rows;
  int first_row, queries_left, channels;

  __device__ __forceinline__ void load(typename Products::Packets& packets, int channel) const {
    const int lane = threadIdx.x % 32;
    const int at = channel + lane % Products::lanes * Packet<T>::size;
#pragma unroll
    for (int n = 0; n < FEW_ROWS / Products::groups; ++n) {
      const int row = first_row + n * Products::groups + lane / Products::lanes;
      packets.rows[n] = packet(rows.values, row, at, rows.has(row));
    }
#pragma unroll
    for (int i = 0; i < sizeof(packets.queries) / 16; ++i) {
      const int query = Products::query(i);
      packets.queries[i] = packet(queries, query, at, query < queries_left);
    }
  }
  __device__ __forceinline__ uint4 packet(const T* from, int row, int at, bool has) const {
    const long long offset = static_cast<long long>(row) * channels + at;
    return has && at < channels ? *reinterpret_cast<const uint4*>(from + offset)
                                : make_uint4(0, 0, 0, 0);
  }
};

// keys (K,) = max(keys, the key of the best row of (M, C) for each query of (K, C)); with `below`
// (K,) the best of those whose key is below it. C is a multiple of a packet. Blocks of 256 threads,
// one per 32 rows (x) and 16 queries (y).
//
// Bytes: M C values from memory, once for every 16 queries; the queries' C values from L2 once a
// block, half its rows' bytes. A block's warps share the channels out, and a warp has the packets
// of two steps under way, so that 3600 rows of 768 halves are 113 blocks with two thirds of their
// bytes in flight at once, on an H100's 132 multiprocessors. The warps' sums meet in shared memory,
// and a block sends one atomic a query.
template <typename T>
__device__ void nearest_few(const T* __restrict__ queries, const Rows<T>& rows,
                            const unsigned long long* __restrict__ below,
                            unsigned long long* __restrict__ keys, int count, int channels) {
  using Products = FewProducts<T>;
  constexpr int stride = FEW_WARPS * Products::step;
  __shared__ float partial[Products::partials][FEW_QUERIES][FEW_ROWS];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first_row = blockIdx.x * FEW_ROWS, first_query = blockIdx.y * FEW_QUERIES;
  const FewFeed<T> feed{queries + static_cast<long long>(first_query) * channels, rows, first_row,
                        count - first_query, channels};
  Products products;
  typename Products::Packets packets, next;
  feed.load(packets, warp * Products::step);
  for (int channel = warp * Products::step; channel < channels; channel += stride) {
    feed.load(next, channel + stride);
    products.add(packets);
    packets = next;
  }
  products.write(partial);
  __syncthreads();

  const int row = first_row + lane;
  const float2 term = rows.term(row);
  for (int q = warp; q < FEW_QUERIES && first_query + q < count; q += FEW_WARPS) {
    float dot = 0.0f;
#pragma unroll
    for (int i = 0; i < Products::partials; ++i) dot += partial[i][q][lane];
    unsigned long long key = rows.has(row) ? scored_key(dot, term, row) : 0;
    if (below && is_finite(dot) && key >= below[first_query + q]) key = 0;
    key = warp_best(key);
    if (lane == 0 && key) atomicMax(keys + first_query + q, key);
  }
}
