#include "fiber.hpp"
#include <sys/mman.h>
#include <new>

#if !defined(__x86_64__)
#error "the switch between fibers is written for x86-64"
#endif

// System V ABI: rbp, rbx and r12 to r15 belong to the caller.
asm(R"(
.text
.globl cuda_on_host_switch
.type cuda_on_host_switch, @function
cuda_on_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_host_switch, . - cuda_on_host_switch
)");

namespace cuda_on_host {

Stacks::Stacks(unsigned count) : bytes_(count * (stack_guard_bytes + stack_bytes)) {
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<unsigned char*>(memory);
  for (unsigned i = 0; i < count; ++i)
    mprotect((*this)[i] - stack_guard_bytes, stack_guard_bytes, PROT_NONE);
}

Stacks::~Stacks() { munmap(memory_, bytes_); }

unsigned char* Stacks::operator[](unsigned i) const {
  return memory_ + i * (stack_guard_bytes + stack_bytes) + stack_guard_bytes;
}

void prepare(Fiber& fiber, void (*function)()) {
  auto** top = reinterpret_cast<void**>(fiber.stack + stack_bytes);
  *--top = nullptr;  // aligns the stack as behind a call
  *--top = reinterpret_cast<void*>(function);
  for (int saved_register = 0; saved_register < 6; ++saved_register) *--top = nullptr;
  fiber.stack_pointer = top;
}

}  // namespace cuda_on_host
