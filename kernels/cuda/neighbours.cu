#include "neighbours.cuh"

extern "C" __global__ void __launch_bounds__(NEIGHBOURS_THREADS)
    nearest_rows_f32(const float* a, const float* b, const unsigned long long* keys, int count,
                     int channels, int* forward, float* distance) {
  nearest_rows<float>(a, b, keys, count, channels, forward, distance);
}

extern "C" __global__ void __launch_bounds__(NEIGHBOURS_THREADS)
    nearest_rows_f16(const half16* a, const half16* b, const unsigned long long* keys, int count,
                     int channels, int* forward, float* distance) {
  nearest_rows<half16>(a, b, keys, count, channels, forward, distance);
}

extern "C" __global__ void __launch_bounds__(256)
    rows_of_keys(const unsigned long long* keys, int count, int* rows) {
  decode_rows(keys, count, rows);
}
