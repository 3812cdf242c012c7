// What g++ -fsanitize=thread calls for each access of a kernel. Its own library, which needs a
// process of its own kind, is not used.
#include <cstddef>
#include <cstdint>
#include "race.hpp"

using cuda_on_host::Access;
using cuda_on_host::race_access;
#define CODE __builtin_return_address(0)

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_atomic_thread_fence(int) {}

#define PLAIN_ACCESSES(size)                                                                     \
  void __tsan_read##size(void* p) { race_access(p, size, Access::read, CODE); }                   \
  void __tsan_write##size(void* p) { race_access(p, size, Access::write, CODE); }                 \
  void __tsan_unaligned_read##size(void* p) { race_access(p, size, Access::read, CODE); }         \
  void __tsan_unaligned_write##size(void* p) { race_access(p, size, Access::write, CODE); }       \
  void __tsan_volatile_read##size(void* p) { race_access(p, size, Access::read, CODE); }          \
  void __tsan_volatile_write##size(void* p) { race_access(p, size, Access::write, CODE); }
PLAIN_ACCESSES(1)
PLAIN_ACCESSES(2)
PLAIN_ACCESSES(4)
PLAIN_ACCESSES(8)
PLAIN_ACCESSES(16)

void __tsan_read_range(void* p, size_t n) { race_access(p, n, Access::read, CODE); }
void __tsan_write_range(void* p, size_t n) { race_access(p, n, Access::write, CODE); }

// The atomics of include/atomics.hpp: a load, then exchanges until one succeeds.
#define ATOMIC_ACCESSES(bits, type)                                                              \
  type __tsan_atomic##bits##_load(const volatile type* p, int) {                                  \
    race_access(const_cast<const type*>(p), sizeof(type), Access::atomic, CODE);                   \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type value,  \
                                                    int, int) {                                    \
    race_access(const_cast<const type*>(p), sizeof(type), Access::atomic, CODE);                   \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST,                \
                                       __ATOMIC_SEQ_CST);                                          \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile type* p, type* expected, type value,    \
                                                  int order, int failed) {                         \
    return __tsan_atomic##bits##_compare_exchange_strong(p, expected, value, order, failed);       \
  }                                                                                                \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* p, type expected, type value,     \
                                                  int order, int failed) {                         \
    __tsan_atomic##bits##_compare_exchange_strong(p, &expected, value, order, failed);             \
    return expected;                                                                               \
  }
ATOMIC_ACCESSES(32, uint32_t)
ATOMIC_ACCESSES(64, uint64_t)

}  // extern "C"
