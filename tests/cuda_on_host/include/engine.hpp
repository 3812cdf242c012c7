// What a kernel asks of the engine that runs it: the line between the kernels' libraries and the
// engine's. A CUDA thread is a fiber; it gives up the processor only in the functions below.
#pragma once
#include <cstddef>
#include <cstdint>
#include "vectors.hpp"

namespace cuda_on_host {

// Where a thread stands, as the built-in variables say it.
struct Position {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned lane;
  unsigned warp;  // the lanes that the block has in this warp, as a mask
};
extern __thread const Position* position;  // of the thread that runs now

// The block's dynamic shared memory; ends at an inaccessible page, starts as 0xff bytes.
unsigned char* dynamic_shared();

// The barrier of the whole block. Stricter than CUDA: a thread that has returned is an error, as is
// another thread that waits in another kind of barrier.
enum class Reduction { none, any, all, count };
int block_barrier(Reduction reduction, int predicate, const char* operation);

// What a lane brings to a warp operation.
struct Slot { alignas(16) unsigned char bytes[32]; };

// Waits for all lanes of the mask, and shows what each brought: 32 slots, by lane, to be read
// before the lane's next warp operation. No memory is made visible by it, as CUDA has it. Lanes of
// the mask that the block does not have are left out; one that has returned is an error, which is
// stricter than CUDA.
const Slot* meet(unsigned mask, const Slot& mine, const char* operation);
void warp_barrier(unsigned mask);
unsigned lanes_that_run();

// cp.async: the copy happens now or at the wait, as the launch says; till then its target holds
// 0xff bytes. Zeros are written where `there` is false.
void copy_async(void* to, const void* from, unsigned bytes, bool there);
void close_copy_group();
void wait_for_copies(unsigned pending_groups);

// Ends the launch with an error that names the thread.
[[noreturn]] void fail(const char* message);

}  // namespace cuda_on_host
