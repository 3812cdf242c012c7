// Products of rows with rows in tiles of 128 x 128, left in registers for what is made of them.
#pragma once
#include "nearest.cuh"

constexpr int TILE = 128;                                    // a tile is 128 x 128 products
constexpr int ROW_BYTES = 64, ROW_PACKETS = ROW_BYTES / 16;  // of a row in a stage
constexpr int STAGE_BYTES = 2 * TILE * ROW_BYTES, STAGES = 3;
constexpr int THREAD_ROWS = 8;                               // of a tile

// Where packet p of a row lies in a stage. Eight rows in turn have eight different places within
// 128 bytes, so that neither ldmatrix nor reading rows one by one meets in a bank; the next eight
// rows have the same.
constexpr int EIGHT_ROWS = 8 * ROW_BYTES;
__device__ __forceinline__ unsigned char* packet_at(unsigned char* tile, unsigned row,
                                                    unsigned packet) {
  return tile + row * ROW_BYTES + (packet ^ (row / 2 % ROW_PACKETS)) * 16;
}

// A thread's products in a tile. A warp has 64 rows by 4 `columns`; four warps do a tile of halves,
// eight one of floats, whose multiply-adds need more registers for their operands.
template <typename T> struct Products {
  static constexpr int columns = sizeof(T) == 2 ? 16 : 8, threads = 2048 / columns;
  float sums[THREAD_ROWS / 2][columns / 2][4];  // as mma.m16n8k16 has them

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
      for (int j = 0; j < columns; ++j) at(i, j) = 0.0f;
  }
  __device__ __forceinline__ float& at(int i, int j) {
    return sums[i / 2][j / 2][i % 2 * 2 + j % 2];
  }
  // Where in the tile the warp's products begin, and where in those the thread's are.
  static constexpr int across = threads / 64;  // warps
  static __device__ __forceinline__ int first_row() { return threadIdx.x / 32 / across * 64; }
  static __device__ __forceinline__ int first_column() {
    return threadIdx.x / 32 % across * (4 * columns);
  }
  static __device__ __forceinline__ int row(int i) { return threadIdx.x % 32 / 4 + 8 * i; }
  static __device__ __forceinline__ int column(int j);
  __device__ __forceinline__ bool finite() {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
      for (int j = 0; j < columns; ++j) sum = fmaf(at(i, j), 0.0f, sum);
    return sum == 0.0f;
  }
  // Adds the products of the warp's rows a and b over a stage's channels.
  __device__ __forceinline__ void add(unsigned char* a, unsigned char* b);
};

template <> __device__ __forceinline__ int Products<half16>::column(int j) {
  return 8 * (j / 2) + threadIdx.x % 4 * 2 + j % 2;
}
template <>
__device__ __forceinline__ void Products<half16>::add(unsigned char* a, unsigned char* b) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < ROW_PACKETS; k += 2) {
    unsigned left[4][4];
#pragma unroll
    for (int m = 0; m < 4; ++m)
      load_matrices(left[m], packet_at(a, 16 * m + lane % 16, k + lane / 16));
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      unsigned right[4];
      load_matrices(right, packet_at(b, 16 * n + lane / 16 * 8 + lane % 8, k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        multiply_add(sums[m][2 * n], left[m], {right[0], right[1]});
        multiply_add(sums[m][2 * n + 1], left[m], {right[2], right[3]});
      }
    }
  }
}

template <> __device__ __forceinline__ int Products<float>::column(int j) {
  return threadIdx.x % 4 + 4 * j;
}
template <>
__device__ __forceinline__ void Products<float>::add(unsigned char* a, unsigned char* b) {
#pragma unroll 1  // or loads move ahead until 128 registers, two blocks' share, do not suffice
  for (int p = 0; p < ROW_PACKETS; ++p) {
    float left[THREAD_ROWS][4], right[4];
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; ++i) {
      unsigned char* packet = packet_at(a + i * EIGHT_ROWS, row(0), p);
      Packet<float>::load(left[i], reinterpret_cast<float*>(packet));
    }
#pragma unroll
    for (int j = 0; j < columns; ++j) {
      unsigned char* eight = b + j / 2 * EIGHT_ROWS;
      Packet<float>::load(right, reinterpret_cast<float*>(packet_at(eight, column(j % 2), p)));
#pragma unroll
      for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
        for (int c = 0; c < 4; ++c) at(i, j) = fmaf(left[i][c], right[c], at(i, j));
    }
  }
}

// Enqueues a copy of 64 bytes of each of a tile's rows, from a channel on. Rows that are not there
// or left out, and what is behind the last channel, become zeros.
template <typename T>
__device__ __forceinline__ void copy_rows(unsigned char* to, const Rows<T>& rows, int first,
                                          int channel, int channels) {
  const int packet = threadIdx.x % ROW_PACKETS, at = channel + packet * Packet<T>::size;
#pragma unroll
  for (int i = 0; i < TILE * ROW_PACKETS / Products<T>::threads; ++i) {
    const int row = threadIdx.x / ROW_PACKETS + i * (Products<T>::threads / ROW_PACKETS);
    const bool there = at < channels && rows.has(first + row);
    const long long offset = static_cast<long long>(first + row) * channels + at;
    copy_async_16(packet_at(to, row, packet), rows.values + (there ? offset : 0), there);
  }
}

// Adds the products of rows a from first_a on with rows b from first_b on, 128 of each, over all
// channels (a multiple of a packet). `stages`: 48 KB of shared memory, three stages of 64 bytes of
// every row, two of them under way while one is used.
template <typename T>
__device__ __forceinline__ void multiply_tile(Products<T>& products, unsigned char* stages,
                                              const Rows<T>& a, const Rows<T>& b, int first_a,
                                              int first_b, int channels) {
  constexpr int step = ROW_BYTES / sizeof(T);
  auto enqueue = [&](int slot, int channel) {
    unsigned char* stage = stages + slot * STAGE_BYTES;
    if (channel < channels) {
      copy_rows(stage, a, first_a, channel, channels);
      copy_rows(stage + TILE * ROW_BYTES, b, first_b, channel, channels);
    }
    copy_async_commit();
  };
#pragma unroll
  for (int slot = 0; slot < STAGES - 1; ++slot) enqueue(slot, slot * step);
  int slot = 0;
  for (int channel = 0; channel < channels; channel += step) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();  // this stage is there, and nobody reads the one before it any more
    enqueue(slot ? slot - 1 : STAGES - 1, channel + (STAGES - 1) * step);
    unsigned char* stage = stages + slot * STAGE_BYTES;
    products.add(stage + Products<T>::first_row() * ROW_BYTES,
                 stage + (TILE + Products<T>::first_column()) * ROW_BYTES);
    slot = slot + 1 == STAGES ? 0 : slot + 1;
  }
}
