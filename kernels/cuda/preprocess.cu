// Images to frames: see kernels/include/preprocess.cuh.
#include "preprocess.cuh"

extern "C" __global__ void __launch_bounds__(COLUMNS)
shorten_columns_u8(const unsigned char* image, int height, int width, const int* first,
                   const int* weights, int taps, int rows, unsigned char* shortened) {
  shorten_columns(image, width, {first, weights, taps, rows, height}, shortened);
}

extern "C" __global__ void __launch_bounds__(COLUMNS)
narrow_rows_u8(const unsigned char* image, int height, int width, const int* first,
               const int* weights, int taps, int columns, unsigned char* narrow) {
  narrow_rows(image, height, {first, weights, taps, columns, width}, narrow);
}

extern "C" __global__ void __launch_bounds__(256)
fill_frame_f32(const unsigned char* narrow, int height, const int* first, const int* weights,
               int taps, int side, int left, int top, int columns, int rows, const Tone* tones,
               float* frame) {
  fill_frame(narrow, {first, weights, taps, rows, height}, {side, left, top, columns, rows}, tones,
             frame);
}

extern "C" __global__ void __launch_bounds__(256)
stretch_frame_f32(const unsigned char* image, int height, int width, int side, int left, int top,
                  int columns, int rows, const Tone* tones, float* frame) {
  stretch_frame(image, height, width, {side, left, top, columns, rows}, tones, frame);
}
