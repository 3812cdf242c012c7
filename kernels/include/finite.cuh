// Numbers that are none.
#pragma once
#include "warp.cuh"

// The NaN that a GPU's own arithmetic gives; its candidate_key is above every other.
__device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fffffffu); }
__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) < infinity(); }
