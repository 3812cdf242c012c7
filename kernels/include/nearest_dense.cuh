// The most similar row for many queries: a matrix product in tiles, of which only the best is kept.
#pragma once
#include "tile.cuh"

// The best score so far and whose it is: -1 for nobody's.
struct Best {
  float score;
  int index;

  __device__ __forceinline__ Best() : score(-infinity()), index(-1) {}
  __device__ __forceinline__ void take(float other, int whose) {
    if (other > score) { score = other; index = whose; }
  }
  // Of several, the first one's: a score that is NaN already stays.
  __device__ __forceinline__ void refuse(float dot, bool there, int whose) {
    if (there && score == score && !is_finite(dot)) { score = not_a_number(); index = whose; }
  }
  __device__ __forceinline__ unsigned long long key() const {
    return index < 0 ? 0 : candidate_key(score, index);
  }
};

// A key that only those below it pass: of a lower score, or of the same and a larger index. Nobody
// is below 0, and every number is below NaN.
struct Bound {
  float score;
  int index;

  __device__ __forceinline__ explicit Bound(unsigned long long key)
      : score(key ? key_score(key) : -infinity()), index(key ? key_index(key) : 0x7fffffff) {}
  __device__ __forceinline__ bool passes(float other, int whose) const {
    return !(other > score || (other == score && whose <= index));
  }
};

// The best of each of `count` keys over the lanes that differ in the bits highest to lowest of
// their number, shared out among them: each returns the first of those it has, in keys[0] and on.
template <int count, int highest, int lowest, int all>
__device__ __forceinline__ int share_best(unsigned long long (&keys)[all]) {
  const bool upper = threadIdx.x & highest;
#pragma unroll
  for (int i = 0; i < count / 2; ++i) {
    const unsigned long long kept = upper ? keys[i + count / 2] : keys[i];
    const unsigned long long given = upper ? keys[i] : keys[i + count / 2];
    keys[i] = max(kept, __shfl_xor_sync(WHOLE_WARP, given, highest));
  }
  const int first = upper ? count / 2 : 0;
  if constexpr (highest == lowest) return first;
  else return first + share_best<count / 2, highest / 2, lowest>(keys);
}

// Sends the best of each row of a tile; with `bounded` of those whose key is below that row's.
template <bool bounded, typename T>
__device__ __forceinline__ void send_rows(Products<T>& products, const Rows<T>& a, const Rows<T>& b,
                                          int first_row, int first_column, bool finite,
                                          const unsigned long long* below,
                                          unsigned long long* forward) {
  float2 terms[Products<T>::columns];
#pragma unroll
  for (int j = 0; j < Products<T>::columns; ++j)
    terms[j] = b.term(first_column + Products<T>::column(j));
  unsigned long long keys[THREAD_ROWS];
#pragma unroll
  for (int i = 0; i < THREAD_ROWS; ++i) {
    const int row = first_row + Products<T>::row(i);
    const Bound bound(bounded && row < a.count ? below[row] : 0);
    Best best;
#pragma unroll
    for (int j = 0; j < Products<T>::columns; ++j) {
      const int column = first_column + Products<T>::column(j);
      const float score = fmaf(products.at(i, j), terms[j].x, terms[j].y);
      if (!bounded || bound.passes(score, column)) best.take(score, column);
    }
#pragma unroll
    for (int j = 0; !finite && j < Products<T>::columns; ++j) {
      const int column = first_column + Products<T>::column(j);
      best.refuse(products.at(i, j), b.has(column), column);
    }
    keys[i] = best.key();
  }
  const int first = share_best<THREAD_ROWS, 2, 1>(keys);
#pragma unroll
  for (int i = 0; i < THREAD_ROWS / 4; ++i) {
    const int row = first_row + Products<T>::row(first + i);
    if (keys[i] && a.has(row)) atomicMax(forward + row, keys[i]);
  }
}

// Sends the best of each column of a tile.
template <typename T>
__device__ __forceinline__ void send_columns(Products<T>& products, const Rows<T>& a,
                                             const Rows<T>& b, int first_row, int first_column,
                                             bool finite, unsigned long long* backward) {
  float2 terms[THREAD_ROWS];
#pragma unroll
  for (int i = 0; i < THREAD_ROWS; ++i) terms[i] = a.term(first_row + Products<T>::row(i));
  unsigned long long keys[Products<T>::columns];
#pragma unroll
  for (int j = 0; j < Products<T>::columns; ++j) {
    Best best;
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; ++i)
      best.take(fmaf(products.at(i, j), terms[i].x, terms[i].y), first_row + Products<T>::row(i));
#pragma unroll
    for (int i = 0; !finite && i < THREAD_ROWS; ++i) {
      const int row = first_row + Products<T>::row(i);
      best.refuse(products.at(i, j), a.has(row), row);
    }
    keys[j] = best.key();
  }
  const int first = share_best<Products<T>::columns, 16, 4>(keys);
#pragma unroll
  for (int j = 0; j < Products<T>::columns / 8; ++j) {
    const int column = first_column + Products<T>::column(first + j);
    if (keys[j] && b.has(column)) atomicMax(backward + column, keys[j]);
  }
}

// forward (N,) = max(forward, the key of the best row of b (M, C) for each row of a (N, C)); with
// `both` the same for backward (M,) and the rows of a; with `bounded` only keys below `below` (N,)
// count for forward. C is a multiple of a packet. A block a tile: of a by y, of b by x.
//
// Bytes: a tile takes 2 x 128 C values from L2 (3600 x 3600 x 768 halves: 331 MB in all), from
// memory a and b come once, as they stay in L2. From shared memory a warp of halves reads 64 + 64
// rows for 64 x 64 products, 4 KB for 16 channels: 128 clocks for the four warps of a tile, in
// which an A100's tensor cores do half of its products. Those never leave the registers, 8 x 16 a
// thread; the best of them become one key a row and one a column of the warp, and those one atomic
// each.
template <typename T, bool both, bool bounded>
__device__ void nearest_dense(const Rows<T>& a, const Rows<T>& b,
                              const unsigned long long* __restrict__ below,
                              unsigned long long* __restrict__ forward,
                              unsigned long long* __restrict__ backward, int channels) {
  DYNAMIC_SHARED(stages);
  const int first_a = blockIdx.y * TILE, first_b = blockIdx.x * TILE;
  Products<T> products;
  products.clear();
  multiply_tile(products, stages, a, b, first_a, first_b, channels);
  const int first_row = first_a + Products<T>::first_row();
  const int first_column = first_b + Products<T>::first_column();
  const bool finite = products.finite();
  if (both) send_columns(products, a, b, first_row, first_column, finite, backward);
  send_rows<bounded>(products, a, b, first_row, first_column, finite, below, forward);
}
