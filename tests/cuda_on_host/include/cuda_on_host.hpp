// CUDA C++ for g++: the kernels' own source compiles against it and runs on the host. Words of the
// language are here; each header has one part of what the device offers, and says what it promises.
//
// Not there: clusters, cooperative groups, textures, wgmma, TMA, waiting for other blocks, weak
// memory order (an unordered access is for the race build to find), device-side printf order.
#pragma once
#ifdef __CUDACC__
#error "cuda_on_host.hpp is for host compilers"
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const
// One copy for each host thread, because a host thread runs one block at a time.
#define __shared__ static thread_local
#define DYNAMIC_SHARED(name) unsigned char* name = cuda_on_host::dynamic_shared()

#include "arithmetic.hpp"
#include "atomics.hpp"
#include "engine.hpp"
#include "tensor_cores.hpp"
#include "vectors.hpp"
#include "warp.hpp"
#include "entry.hpp"

#define threadIdx (cuda_on_host::position->thread)
#define blockIdx (cuda_on_host::position->block)
#define blockDim (cuda_on_host::position->block_size)
#define gridDim (cuda_on_host::position->grid_size)
constexpr int warpSize = 32;
