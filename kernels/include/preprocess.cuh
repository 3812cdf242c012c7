// An 8-bit image (height, width, 3) into a frame (3, side, side) of floats.
//
// `shorten_columns`, `narrow_rows` and `fill_frame` are Pillow's antialiased convolution, bit by
// bit: one pass across and one down, with weights in 1 / 2^22 and rounding to 8 bits after each.
// `stretch_frame` is bilinear without antialiasing, in floats.
#pragma once
#include "bilinear.cuh"

constexpr int FRACTION_BITS = 22;
constexpr int COLUMNS = 128;        // threads of narrow_rows, one a column
constexpr int CHUNK_PIXELS = 1024;  // of a row, in shared memory
constexpr int ROWS = 4;             // rows that share a word there

// How a line of cells is resampled: cell x is the sum over t of weights[t][x] source[first[x] + t],
// for the `taps` of t that are in the source.
struct Resampling {
  const int* first;    // (cells,), ascending
  const int* weights;  // (taps, cells), in 1 / 2^22
  int taps, cells, source;

  __device__ __forceinline__ int end(int cell) const { return min(first[cell] + taps, source); }
  __device__ __forceinline__ int weight(int tap, int cell) const {
    return weights[static_cast<long long>(tap) * cells + cell];
  }
};

// What becomes of a channel: value * scale + offset, and `padding` where there is no image.
struct Tone { float scale, offset, padding; };

// Where in the frame the image lies.
struct Placement { int side, left, top, columns, rows; };

constexpr int HALF = 1 << (FRACTION_BITS - 1);

__device__ __forceinline__ int rounded_to_byte(int fixed) {
  return min(max(fixed >> FRACTION_BITS, 0), 255);
}

// One cell of a column of bytes, `pitch` apart, 0 to 255.
__device__ __forceinline__ int resampled(const unsigned char* column, long long pitch,
                                         const Resampling& down, int cell) {
  const int first = down.first[cell], taps = down.end(cell) - first;
  const unsigned char* from = column + first * pitch;
  int sum = HALF;
#pragma unroll 4
  for (int tap = 0; tap < taps; ++tap, from += pitch)
    sum += down.weight(tap, cell) * static_cast<int>(*from);
  return rounded_to_byte(sum);
}

// Brings pixels [begin, begin + count) of ROWS rows to shared memory: byte r of a word is row r's.
__device__ __forceinline__ void stage_rows(unsigned* staged, const unsigned char* image, int height,
                                           int width, int row, int begin, int count) {
  const long long pitch = 3LL * width;
  const unsigned char* from = image + row * pitch + 3LL * begin;
  const int rows = min(ROWS, height - row);
#pragma unroll 4
  for (int i = threadIdx.x; i < 3 * count; i += COLUMNS) {
    unsigned word = 0;
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
      if (r < rows) word |= static_cast<unsigned>(from[r * pitch + i]) << (8 * r);
    staged[i] = word;
  }
}

// The pass across: image (height, width, 3) to narrow (3, height, across.cells), 8 bits.
//
// Block (i, j) makes COLUMNS columns from j COLUMNS on of ROWS rows from i ROWS on. What must move
// is the image once, 3 height width bytes (36 MB for 4000 x 3000), and 3 height cells bytes out.
// Each block reads its part of a row byte by byte, a warp 32 in order, so every sector comes once;
// neighbours read 2 support pixels of it again, from L2. Taps are then read in shared memory, where
// a word serves four rows, and a weight serves twelve sums: 4 loads, 12 extractions and 12
// multiply-adds a tap. Rows longer than a chunk come in several.
__device__ __forceinline__ void narrow_rows(const unsigned char* image, int height,
                                            const Resampling& across, unsigned char* narrow) {
  __shared__ unsigned staged[3 * CHUNK_PIXELS];
  const int row = blockIdx.x * ROWS;
  const int first_column = blockIdx.y * COLUMNS;
  const int column = first_column + threadIdx.x;
  const int last_column = min(first_column + COLUMNS, across.cells) - 1;
  const bool there = column <= last_column;
  const int from = there ? across.first[column] : 0;
  const int to = there ? across.end(column) : 0;
  const int end = across.end(last_column);

  int sums[3][ROWS];
#pragma unroll
  for (int c = 0; c < 3; ++c)
#pragma unroll
    for (int r = 0; r < ROWS; ++r) sums[c][r] = HALF;

  for (int chunk = across.first[first_column]; chunk < end; chunk += CHUNK_PIXELS) {
    const int count = min(CHUNK_PIXELS, end - chunk);
    __syncthreads();  // the chunk before is read
    stage_rows(staged, image, height, across.source, row, chunk, count);
    __syncthreads();
    for (int x = max(from, chunk); x < min(to, chunk + count); ++x) {
      const int weight = across.weight(x - from, column);
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        const unsigned word = staged[3 * (x - chunk) + c];
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
          sums[c][r] += weight * static_cast<int>(word >> (8 * r) & 255u);
      }
    }
  }
  if (!there) return;
#pragma unroll
  for (int c = 0; c < 3; ++c)
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
      if (row + r < height)
        narrow[(static_cast<long long>(c) * height + row + r) * across.cells + column] =
            static_cast<unsigned char>(rounded_to_byte(sums[c][r]));
}

// The pass down where it comes first: image (down.source, width, 3) to (down.cells, width, 3).
//
// For images that lose far more rows than columns. A thread makes one byte; a warp reads 32 of a
// row in order. The image comes from memory once, its rows again from L1 and L2.
__device__ __forceinline__ void shorten_columns(const unsigned char* image, int width,
                                                const Resampling& down, unsigned char* shortened) {
  const long long pitch = 3LL * width;
  const long long byte = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (byte >= pitch) return;
  const int row = blockIdx.y;
  shortened[row * pitch + byte] =
      static_cast<unsigned char>(resampled(image + byte, pitch, down, row));
}

// The pixel of the frame that a thread makes, and the pixel (column, row) of the image there.
struct Pixel {
  int x, y, column, row;
  bool in_frame, in_image;
  __device__ __forceinline__ explicit Pixel(const Placement& place)
      : x(blockIdx.x * blockDim.x + threadIdx.x), y(blockIdx.y * blockDim.y + threadIdx.y),
        column(x - place.left), row(y - place.top), in_frame(x < place.side && y < place.side),
        in_image(column >= 0 && column < place.columns && row >= 0 && row < place.rows) {}
};

__device__ __forceinline__ float& at(float* frame, int side, int channel, const Pixel& pixel) {
  return frame[(static_cast<long long>(channel) * side + pixel.y) * side + pixel.x];
}

// The pass down, into the frame: narrow (3, down.source, place.columns) to frame (3, side, side).
//
// A thread makes one pixel: 12 side^2 bytes go out (8.5 MB for 840), 3 down.source place.columns
// come in, a warp 32 bytes of a row in order. Every row is asked for by 2 support rows of pixels;
// a block's eight rows find most of it in L1, the rest is in L2.
__device__ __forceinline__ void fill_frame(const unsigned char* narrow, const Resampling& down,
                                           const Placement& place, const Tone* tones,
                                           float* frame) {
  const Pixel pixel(place);
  if (!pixel.in_frame) return;
  if (!pixel.in_image) {
    for (int c = 0; c < 3; ++c) at(frame, place.side, c, pixel) = tones[c].padding;
    return;
  }
  const long long plane = static_cast<long long>(down.source) * place.columns;
  const unsigned char* column = narrow + pixel.column;
#pragma unroll
  for (int c = 0; c < 3; ++c)
    at(frame, place.side, c, pixel) =
        static_cast<float>(resampled(column + c * plane, place.columns, down, pixel.row)) *
            tones[c].scale + tones[c].offset;
}

// Bilinear without antialiasing: image (height, width, 3) to frame (3, side, side).
//
// Each pixel reads its 12 bytes; neighbours share sectors through L1. Out go 12 side^2 bytes.
__device__ __forceinline__ void stretch_frame(const unsigned char* image, int height, int width,
                                              const Placement& place, const Tone* tones,
                                              float* frame) {
  const Pixel pixel(place);
  if (!pixel.in_frame) return;
  if (!pixel.in_image) {
    for (int c = 0; c < 3; ++c) at(frame, place.side, c, pixel) = tones[c].padding;
    return;
  }
  const Between x = between<long long>(pixel.column, width, place.columns);
  const Between y = between<long long>(pixel.row, height, place.rows);
  const unsigned char* upper = image + 3LL * width * y.low;
  const unsigned char* lower = image + 3LL * width * y.high;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const float left = mixed(upper[3LL * x.low + c], lower[3LL * x.low + c], y.share);
    const float right = mixed(upper[3LL * x.high + c], lower[3LL * x.high + c], y.share);
    at(frame, place.side, c, pixel) =
        mixed(left, right, x.share) * tones[c].scale + tones[c].offset;
  }
}
