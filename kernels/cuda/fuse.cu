// Maps of features to one descriptor a cell: see kernels/include/fuse.cuh.
#include "fuse.cuh"

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
sum_squares_first_f32(const float* map, int height, int width, int channels, int rows, int columns,
                      float weight, int first_chunk, float* squares) {
  sum_squares<float, true>({map, height, width, channels}, {rows, columns}, weight, first_chunk,
                           squares);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
sum_squares_first_f16(const half16* map, int height, int width, int channels, int rows, int columns,
                      float weight, int first_chunk, float* squares) {
  sum_squares<half16, true>({map, height, width, channels}, {rows, columns}, weight, first_chunk,
                            squares);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
sum_squares_last_f32(const float* map, int height, int width, int channels, int rows, int columns,
                     float weight, int first_chunk, float* squares) {
  sum_squares<float, false>({map, height, width, channels}, {rows, columns}, weight, first_chunk,
                            squares);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
sum_squares_last_f16(const half16* map, int height, int width, int channels, int rows, int columns,
                     float weight, int first_chunk, float* squares) {
  sum_squares<half16, false>({map, height, width, channels}, {rows, columns}, weight, first_chunk,
                             squares);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
scale_group_f32(const float* squares, int first, int end, int cells, float outer, int normalise,
                int first_group, float* scale, float* total) {
  scale_group(squares, first, end, cells, outer, normalise != 0, first_group != 0, scale, total);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_first_f32_f32(const float* map, int height, int width, int channels, int rows,
                        int columns, float weight, const float* scale, const float* total,
                        int offset, int all_channels, float* fused) {
  write_map<float, float, true>({map, height, width, channels}, {rows, columns}, weight, scale,
                                total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_first_f32_f16(const float* map, int height, int width, int channels, int rows,
                        int columns, float weight, const float* scale, const float* total,
                        int offset, int all_channels, half16* fused) {
  write_map<float, half16, true>({map, height, width, channels}, {rows, columns}, weight, scale,
                                 total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_first_f16_f32(const half16* map, int height, int width, int channels, int rows,
                        int columns, float weight, const float* scale, const float* total,
                        int offset, int all_channels, float* fused) {
  write_map<half16, float, true>({map, height, width, channels}, {rows, columns}, weight, scale,
                                 total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_first_f16_f16(const half16* map, int height, int width, int channels, int rows,
                        int columns, float weight, const float* scale, const float* total,
                        int offset, int all_channels, half16* fused) {
  write_map<half16, half16, true>({map, height, width, channels}, {rows, columns}, weight, scale,
                                  total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_last_f32_f32(const float* map, int height, int width, int channels, int rows, int columns,
                       float weight, const float* scale, const float* total, int offset,
                       int all_channels, float* fused) {
  write_map<float, float, false>({map, height, width, channels}, {rows, columns}, weight, scale,
                                 total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_last_f32_f16(const float* map, int height, int width, int channels, int rows, int columns,
                       float weight, const float* scale, const float* total, int offset,
                       int all_channels, half16* fused) {
  write_map<float, half16, false>({map, height, width, channels}, {rows, columns}, weight, scale,
                                  total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_last_f16_f32(const half16* map, int height, int width, int channels, int rows,
                       int columns, float weight, const float* scale, const float* total,
                       int offset, int all_channels, float* fused) {
  write_map<half16, float, false>({map, height, width, channels}, {rows, columns}, weight, scale,
                                  total, offset, all_channels, fused);
}

extern "C" __global__ void __launch_bounds__(FUSE_THREADS)
write_map_last_f16_f16(const half16* map, int height, int width, int channels, int rows,
                       int columns, float weight, const float* scale, const float* total,
                       int offset, int all_channels, half16* fused) {
  write_map<half16, half16, false>({map, height, width, channels}, {rows, columns}, weight, scale,
                                   total, offset, all_channels, fused);
}
