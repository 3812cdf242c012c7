// Finds accesses to the same byte by two threads, one of them a write, that nothing orders; and
// reads of shared memory that nobody has written. Orders are: one thread's own sequence, the
// block's barriers, and warp barriers for lanes of the same warp. Blocks are never ordered.
//
// Each byte remembers its last write, and the last reads since, one for each distance from the
// latest reader (same warp, same block, other block). A race between lanes whose warp barriers had
// different masks may be missed; what the kernels' schedule did not run is not seen.
#pragma once
#include <cstddef>

namespace cuda_on_host {

enum class Access { read, write, atomic };

void race_start(bool check);
void race_forget(const void* memory, size_t bytes);  // its bytes count as never accessed
// code: address in the kernel that the access comes from.
void race_access(const void* memory, size_t bytes, Access access, const void* code);

}  // namespace cuda_on_host
