// Scalar functions. Those that CUDA rounds correctly are exact here; __expf, __logf, rsqrtf and
// __fdividef are the C library's, so better than the device's by an ulp or two.
#pragma once
#include <cmath>
#include <cstring>

namespace cuda_on_host {

template <typename To, typename From> To reinterpreted(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
// Keeps a product or sum from being contracted with what comes after.
inline float rounded(float value) {
  asm("" : "+x"(value));
  return value;
}

}  // namespace cuda_on_host

inline float __int_as_float(int x) { return cuda_on_host::reinterpreted<float>(x); }
inline float __uint_as_float(unsigned x) { return cuda_on_host::reinterpreted<float>(x); }
inline int __float_as_int(float x) { return cuda_on_host::reinterpreted<int>(x); }
inline unsigned __float_as_uint(float x) { return cuda_on_host::reinterpreted<unsigned>(x); }
inline long long __double_as_longlong(double x) {
  return cuda_on_host::reinterpreted<long long>(x);
}
inline double __longlong_as_double(long long x) { return cuda_on_host::reinterpreted<double>(x); }

inline float __fadd_rn(float a, float b) { return cuda_on_host::rounded(a + b); }
inline float __fsub_rn(float a, float b) { return cuda_on_host::rounded(a - b); }
inline float __fmul_rn(float a, float b) { return cuda_on_host::rounded(a * b); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

// Conversions saturate, and turn NaN into 0, where C++ has no answer.
inline int __float2int_rn(float x) {
  if (std::isnan(x)) return 0;
  if (x >= 2147483648.0f) return 2147483647;
  return x <= -2147483648.0f ? -2147483647 - 1 : static_cast<int>(nearbyintf(x));
}
inline int __float2int_rz(float x) { return __float2int_rn(truncf(x)); }
inline int __float2int_rd(float x) { return __float2int_rn(floorf(x)); }
inline int __float2int_ru(float x) { return __float2int_rn(ceilf(x)); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <typename T> T __ldg(const T* address) { return *address; }

// Of a number and NaN, the number.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return b < a ? b : a; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a < b ? b : a; }
