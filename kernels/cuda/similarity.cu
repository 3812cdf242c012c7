// Entries of similarity.py's kernels.
#include "nearest_dense.cuh"
#include "nearest_few.cuh"
#include "sampling.cuh"

extern "C" __global__ void __launch_bounds__(128) sample_f32(
    const float* features, const float* xy, float* out, int height, int width, int channels,
    int count, int how) {
  sample_places(features, xy, out, height, width, channels, count, how);
}
extern "C" __global__ void __launch_bounds__(128) sample_f16(
    const half16* features, const float* xy, half16* out, int height, int width, int channels,
    int count, int how) {
  sample_places(features, xy, out, height, width, channels, count, how);
}
extern "C" __global__ void __launch_bounds__(128) measure_f32(
    const float* rows, float* out, int count, int channels, int measure) {
  measure_rows(rows, out, count, channels, measure);
}
extern "C" __global__ void __launch_bounds__(128) measure_f16(
    const half16* rows, float* out, int count, int channels, int measure) {
  measure_rows(rows, out, count, channels, measure);
}
extern "C" __global__ void __launch_bounds__(256) pad_f32(
    const float* rows, float* out, int count, int channels, int padded) {
  pad_rows(rows, out, count, channels, padded);
}
extern "C" __global__ void __launch_bounds__(256) pad_f16(
    const half16* rows, half16* out, int count, int channels, int padded) {
  pad_rows(rows, out, count, channels, padded);
}
extern "C" __global__ void __launch_bounds__(256) nearest_few_f32(
    const float* queries, const float* target, const float* inverse_norms,
    const unsigned long long* below, unsigned long long* keys, int count, int target_count,
    int channels) {
  nearest_few<float>(queries, {target, inverse_norms, nullptr, nullptr, target_count}, below, keys,
                     count, channels);
}
extern "C" __global__ void __launch_bounds__(256) nearest_few_f16(
    const half16* queries, const half16* target, const float* inverse_norms,
    const unsigned long long* below, unsigned long long* keys, int count, int target_count,
    int channels) {
  nearest_few<half16>(queries, {target, inverse_norms, nullptr, nullptr, target_count}, below, keys,
                      count, channels);
}
extern "C" __global__ void __launch_bounds__(256, 2) nearest_dense_f32(
    const float* queries, const float* target, const float* inverse_norms,
    const unsigned long long* below, unsigned long long* keys, int count, int target_count,
    int channels) {
  nearest_dense<float, false, false>(
      {queries, nullptr, nullptr, nullptr, count},
      {target, inverse_norms, nullptr, nullptr, target_count}, below, keys, nullptr, channels);
}
extern "C" __global__ void __launch_bounds__(256, 2) nearest_dense_below_f32(
    const float* queries, const float* target, const float* inverse_norms,
    const unsigned long long* below, unsigned long long* keys, int count, int target_count,
    int channels) {
  nearest_dense<float, false, true>(
      {queries, nullptr, nullptr, nullptr, count},
      {target, inverse_norms, nullptr, nullptr, target_count}, below, keys, nullptr, channels);
}
extern "C" __global__ void __launch_bounds__(256, 2) both_ways_f32(
    const float* a, const float* b, const float* inverse_norms_a, const float* inverse_norms_b,
    const float* half_squares_a, const float* half_squares_b, const unsigned char* inside_a,
    const unsigned char* inside_b, unsigned long long* forward, unsigned long long* backward,
    int count_a, int count_b, int channels) {
  nearest_dense<float, true, false>({a, inverse_norms_a, half_squares_a, inside_a, count_a},
                                  {b, inverse_norms_b, half_squares_b, inside_b, count_b}, nullptr,
                                  forward, backward, channels);
}
extern "C" __global__ void __launch_bounds__(128) nearest_dense_f16(
    const half16* queries, const half16* target, const float* inverse_norms,
    const unsigned long long* below, unsigned long long* keys, int count, int target_count,
    int channels) {
  nearest_dense<half16, false, false>(
      {queries, nullptr, nullptr, nullptr, count},
      {target, inverse_norms, nullptr, nullptr, target_count}, below, keys, nullptr, channels);
}
extern "C" __global__ void __launch_bounds__(128) nearest_dense_below_f16(
    const half16* queries, const half16* target, const float* inverse_norms,
    const unsigned long long* below, unsigned long long* keys, int count, int target_count,
    int channels) {
  nearest_dense<half16, false, true>(
      {queries, nullptr, nullptr, nullptr, count},
      {target, inverse_norms, nullptr, nullptr, target_count}, below, keys, nullptr, channels);
}
extern "C" __global__ void __launch_bounds__(128) both_ways_f16(
    const half16* a, const half16* b, const float* inverse_norms_a, const float* inverse_norms_b,
    const float* half_squares_a, const float* half_squares_b, const unsigned char* inside_a,
    const unsigned char* inside_b, unsigned long long* forward, unsigned long long* backward,
    int count_a, int count_b, int channels) {
  nearest_dense<half16, true, false>({a, inverse_norms_a, half_squares_a, inside_a, count_a},
                                  {b, inverse_norms_b, half_squares_b, inside_b, count_b}, nullptr,
                                  forward, backward, channels);
}
extern "C" __global__ void __launch_bounds__(256) decode(
    const unsigned long long* keys, int* indices, float* scores, int queries, int passes) {
  decode_keys(keys, indices, scores, queries, passes);
}
