// A CUDA thread: a stack of its own, left and entered by switching the stack pointer.
#pragma once
#include <cstddef>
#include <deque>
#include <vector>
#include "../include/engine.hpp"

namespace cuda_on_host {

enum class State { ready, at_block_barrier, at_warp_operation, returned };

struct Copy {
  void* to;
  const void* from;
  unsigned bytes;
  bool there;
  const void* issued_at;  // address in the kernel's code
};

struct Fiber : Position {
  State state = State::ready;
  unsigned index = 0;           // of the thread in its block
  const char* operation = "";   // what it waits in
  unsigned warp_barriers = 0;   // how many it has passed
  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copy_groups;
  unsigned char* stack = nullptr;  // its lowest byte
  void* stack_pointer = nullptr;
};

constexpr size_t stack_bytes = 64 << 10;
constexpr size_t stack_guard_bytes = 4096;  // inaccessible, below each stack

// Stacks for all threads of a block.
class Stacks {
 public:
  explicit Stacks(unsigned count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  unsigned char* operator[](unsigned i) const;

 private:
  unsigned char* memory_;
  size_t bytes_;
};

// Makes a fiber start in `function`, which never returns, when it is switched to.
void prepare(Fiber& fiber, void (*function)());

// Saves the callee-saved registers and the stack pointer, and goes on where `to` was saved.
extern "C" void cuda_on_host_switch(void** save, void* to);

}  // namespace cuda_on_host
