// Numbers that are none.
#pragma once
#include "primitives.cuh"

__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000u); }

// The NaN that a GPU's own arithmetic gives.
__device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fffffffu); }
__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) < infinity(); }
