// Entries of softargmax.py's kernels. With five blocks on a multiprocessor a thread may have 96
// registers. For the loads that windows_... has in flight nvcc 13.0 takes 78 to 80 of them up to
// sm_90, and 92 to 96 on sm_100 and sm_120.
#include "softargmax.cuh"
#include "softargmax_dense.cuh"

extern "C" __global__ void __launch_bounds__(SOFTARGMAX_THREADS, 5) windows_f32(
    const float* queries, const float* target, const unsigned long long* keys, int height,
    int width, int channels, int radius, float sharpness, float narrowness, float4* parts) {
  expectations_of_windows<float>(queries, target, keys, height, width, channels,
                                 {radius, sharpness, narrowness, false}, parts);
}
extern "C" __global__ void __launch_bounds__(SOFTARGMAX_THREADS, 5) windows_f16(
    const half16* queries, const half16* target, const unsigned long long* keys, int height,
    int width, int channels, int radius, float sharpness, float narrowness, float4* parts) {
  expectations_of_windows<half16>(queries, target, keys, height, width, channels,
                                {radius, sharpness, narrowness, false}, parts);
}
extern "C" __global__ void __launch_bounds__(256, 2) tiles_f32(
    const float* queries, const float* target, const unsigned long long* keys, int count,
    int target_count, int width, int channels, int radius, float sharpness, float narrowness,
    float4* parts) {
  expectations_of_tile<float>({queries, nullptr, nullptr, nullptr, count},
                              {target, nullptr, nullptr, nullptr, target_count}, keys, width,
                              channels, {radius, sharpness, narrowness, false}, parts);
}
extern "C" __global__ void __launch_bounds__(128, 2) tiles_f16(
    const half16* queries, const half16* target, const unsigned long long* keys, int count,
    int target_count, int width, int channels, int radius, float sharpness, float narrowness,
    float4* parts) {
  expectations_of_tile<half16>({queries, nullptr, nullptr, nullptr, count},
                               {target, nullptr, nullptr, nullptr, target_count}, keys, width,
                               channels, {radius, sharpness, narrowness, false}, parts);
}
extern "C" __global__ void __launch_bounds__(SOFTARGMAX_THREADS) merged_cells(
    const unsigned long long* keys, const float4* parts, int shares, int count, int height,
    int width, int radius, float sharpness, int zeroed, float* cells, int* peaks,
    float* similarity) {
  merge_parts(keys, parts, shares, count, height, width, {radius, sharpness, 0.0f, zeroed != 0},
              cells, peaks, similarity);
}
extern "C" __global__ void __launch_bounds__(256)
    peak_cells(const unsigned long long* keys, int count, int width, float* cells, int* peaks,
               float* similarity) {
  decode_peaks(keys, count, width, cells, peaks, similarity);
}
