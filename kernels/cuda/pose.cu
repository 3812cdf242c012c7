#include "pose.cuh"

extern "C" __global__ void __launch_bounds__(RESIZED_THREADS)
    resized_f32(const float* map, int height, int width, int channels, int rows, int columns,
                float* out) {
  resized<float>(map, height, width, channels, rows, columns, out);
}

extern "C" __global__ void __launch_bounds__(RESIZED_THREADS)
    resized_f16(const half16* map, int height, int width, int channels, int rows, int columns,
                half16* out) {
  resized<half16>(map, height, width, channels, rows, columns, out);
}

extern "C" __global__ void __launch_bounds__(MEAN_THREADS)
    mean_of_nearest(const float* distance, const int* forward, const int* backward, int count,
                    float* mean) {
  mean_distance(distance, forward, backward, count, mean);
}
