// Windows of features to one map: see kernels/include/stitch.cuh.
#include "stitch.cuh"

extern "C" __global__ void __launch_bounds__(256)
stitch_f32(const float* windows, int count, int window_rows, int window_columns, const int* begins,
           int outer, int rows, int columns, int inner, float* stitched) {
  stitch(windows, count, {outer, window_rows, window_columns, inner}, begins,
         {outer, rows, columns, inner}, stitched);
}

extern "C" __global__ void __launch_bounds__(256)
stitch_f16(const half16* windows, int count, int window_rows, int window_columns, const int* begins,
           int outer, int rows, int columns, int inner, half16* stitched) {
  stitch(windows, count, {outer, window_rows, window_columns, inner}, begins,
         {outer, rows, columns, inner}, stitched);
}
