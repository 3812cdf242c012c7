// Maps of features to one descriptor a cell: each map is brought to the grid (bilinear), weighted,
// normalised in groups, and all lie side by side, with unit norm in the end:
//
//   descriptor = unit(concat_g(outer_g unit(concat_m(weight_m map_m))))
//
// As norms are sums over maps, every map is read twice, and the output is written once:
// `sum_squares` of every map, `scale_group` of every group, `write_map` of every map. A block is
// 32 cells and CHUNK channels in both. For 60 x 60 x 3968 from 640 x 60 x 60, 1280 x 30 x 30,
// 1280 x 15 x 15 and 768 x 60 x 60 in float32, 26 MB come in (the second time mostly from L2) and
// 57 MB go out. Four cells are read for one of a larger grid; neighbours find them in L1.
#pragma once
#include "bilinear.cuh"
#include "warp.cuh"

constexpr int FUSE_WARPS = 8;
constexpr int FUSE_THREADS = 32 * FUSE_WARPS;
constexpr int BLOCK_CELLS = 32;
constexpr int CHUNK = 128;  // channels of a block
constexpr float SMALLEST_SQUARE = 1e-24f;  // shorter vectors are no longer made unit

// NaN stays NaN.
__device__ __forceinline__ float inverse_norm(float squares) {
  return rsqrtf(squares < SMALLEST_SQUARE ? SMALLEST_SQUARE : squares);
}

template <typename T> struct Map {
  const T* values;  // (channels, height, width) or (height, width, channels)
  int height, width, channels;
};

struct Grid {
  int rows, columns;
  __device__ __forceinline__ int cells() const { return rows * columns; }
};

// A map at one cell of the grid, channel by channel.
template <typename T, bool channels_first> struct Sample {
  const T *upper_left, *upper_right, *lower_left, *lower_right;
  long long step;  // from channel to channel
  float x, y;
  bool whole;  // the cell is one of the map's

  __device__ __forceinline__ Sample(const Map<T>& map, const Grid& grid, int cell)
      : step(channels_first ? static_cast<long long>(map.height) * map.width : 1),
        whole(map.height == grid.rows && map.width == grid.columns) {
    const int row = cell / grid.columns, column = cell % grid.columns;
    const Between across = between<int>(column, map.width, grid.columns);
    const Between down = between<int>(row, map.height, grid.rows);
    x = across.share;
    y = down.share;
    upper_left = at(map, down.low, across.low);
    upper_right = at(map, down.low, across.high);
    lower_left = at(map, down.high, across.low);
    lower_right = at(map, down.high, across.high);
  }
  static __device__ __forceinline__ const T* at(const Map<T>& map, int row, int column) {
    const long long cell = static_cast<long long>(row) * map.width + column;
    return map.values + (channels_first ? cell : cell * map.channels);
  }
  __device__ __forceinline__ float operator[](int channel) const {
    const long long here = channel * step;
    if (whole) return to_float(upper_left[here]);
    return mixed(mixed(to_float(upper_left[here]), to_float(upper_right[here]), x),
                 mixed(to_float(lower_left[here]), to_float(lower_right[here]), x), y);
  }
};

// The block's part of a map: its cells and its chunk of channels.
struct Part {
  int first_cell, cells, first_channel, end_channel, lane, warp;
  __device__ __forceinline__ Part(int all_cells, int channels)
      : first_cell(blockIdx.x * BLOCK_CELLS), cells(min(BLOCK_CELLS, all_cells - first_cell)),
        first_channel(blockIdx.y * CHUNK), end_channel(min(channels, first_channel + CHUNK)),
        lane(threadIdx.x % 32), warp(threadIdx.x / 32) {}
};

// squares[first_chunk + chunk][cell] = sum over a chunk's channels of (weight map)^2.
//
// Where channels come first a lane reads one cell's, so that a warp's cells lie in order; where
// they come last a lane reads every 32nd channel.
template <typename T, bool channels_first>
__device__ __forceinline__ void sum_squares(const Map<T>& map, const Grid& grid, float weight,
                                            int first_chunk, float* squares) {
  const Part part(grid.cells(), map.channels);
  float* sums = squares + (static_cast<long long>(first_chunk) + blockIdx.y) * grid.cells() +
                part.first_cell;
  if constexpr (channels_first) {
    __shared__ float of_warp[FUSE_WARPS][BLOCK_CELLS];
    float sum = 0.0f;
    if (part.lane < part.cells) {
      const Sample<T, true> sample(map, grid, part.first_cell + part.lane);
#pragma unroll 4
      for (int c = part.first_channel + part.warp; c < part.end_channel; c += FUSE_WARPS) {
        const float value = sample[c];
        sum += value * value;
      }
    }
    of_warp[part.warp][part.lane] = sum;
    __syncthreads();
    if (part.warp != 0 || part.lane >= part.cells) return;
    for (int warp = 1; warp < FUSE_WARPS; ++warp) sum += of_warp[warp][part.lane];
    sums[part.lane] = weight * weight * sum;
  } else {
    for (int cell = part.warp; cell < part.cells; cell += FUSE_WARPS) {
      const Sample<T, false> sample(map, grid, part.first_cell + cell);
      float sum = 0.0f;
#pragma unroll 4
      for (int c = part.first_channel + part.lane; c < part.end_channel; c += 32) {
        const float value = sample[c];
        sum += value * value;
      }
      sum = warp_sum(sum);
      if (part.lane == 0) sums[cell] = weight * weight * sum;
    }
  }
}

// scale[cell] = outer / norm of the group, whose squares are rows [first, end), or `outer` where
// the group stays as it is; total[cell] grows by the square of what the group then is.
__device__ __forceinline__ void scale_group(const float* squares, int first, int end, int cells,
                                            float outer, bool normalise, bool first_group,
                                            float* scale, float* total) {
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  if (cell >= cells) return;
  float sum = 0.0f;
  for (int row = first; row < end; ++row)
    sum += squares[static_cast<long long>(row) * cells + cell];
  const float factor = normalise ? outer * inverse_norm(sum) : outer;
  scale[cell] = factor;
  total[cell] = (first_group ? 0.0f : total[cell]) + factor * factor * sum;
}

// fused[cell][offset + channel] = weight scale[cell] / sqrt(total[cell]) map[cell][channel].
//
// A warp writes 32 channels of a cell in order. Where the map has its cells in order, the block
// turns its part in shared memory; the odd pitch keeps both ways free of bank conflicts.
template <typename T, typename Out, bool channels_first>
__device__ __forceinline__ void write_map(const Map<T>& map, const Grid& grid, float weight,
                                          const float* scale, const float* total, int offset,
                                          int all_channels, Out* fused) {
  const Part part(grid.cells(), map.channels);
  __shared__ float turned[channels_first ? BLOCK_CELLS : 1][CHUNK + 1];
  if constexpr (channels_first) {
    if (part.lane < part.cells) {
      const Sample<T, true> sample(map, grid, part.first_cell + part.lane);
#pragma unroll 4
      for (int c = part.first_channel + part.warp; c < part.end_channel; c += FUSE_WARPS)
        turned[part.lane][c - part.first_channel] = sample[c];
    }
    __syncthreads();
  }
  for (int near = part.warp; near < part.cells; near += FUSE_WARPS) {
    const int cell = part.first_cell + near;
    const float factor = weight * scale[cell] * inverse_norm(total[cell]);
    Out* to = fused + static_cast<long long>(cell) * all_channels + offset;
    if constexpr (channels_first) {
      for (int c = part.first_channel + part.lane; c < part.end_channel; c += 32)
        to[c] = from_float<Out>(factor * turned[near][c - part.first_channel]);
    } else {
      const Sample<T, false> sample(map, grid, cell);
#pragma unroll 4
      for (int c = part.first_channel + part.lane; c < part.end_channel; c += 32)
        to[c] = from_float<Out>(factor * sample[c]);
    }
  }
}
