#include "static_shared.hpp"

using cuda_on_host::static_shared_fence;
extern thread_local unsigned char static_shared_begin[static_shared_fence];
thread_local unsigned char static_shared_end[static_shared_fence];

// The calling host thread's.
extern "C" __attribute__((visibility("default"))) void static_shared(unsigned char** begin,
                                                                     unsigned char** end) {
  *begin = static_shared_begin;
  *end = static_shared_end + static_shared_fence;
}
