// A block of threads on one host thread: who runs next, and who waits for what.
#pragma once
#include <csetjmp>
#include <cstdint>
#include <string>
#include <vector>
#include "fiber.hpp"
#include "launch.hpp"
#include "memory.hpp"
#include "warp.hpp"

namespace cuda_on_host {

struct BlockBarrier {
  unsigned waiting = 0;
  unsigned passed = 0;  // how often the whole block has passed it
  const char* operation = "";
  int results[2] = {};  // of this passage and of the one before, which some have yet to read
};

class Block {
 public:
  explicit Block(const Launch& launch);
  void run(uint64_t number);  // the block of that number in the grid, till its end or a failure

  Warp& warp_of(const Fiber& fiber) { return warps_[fiber.index / 32]; }
  void pause();                  // by a fiber: lets others run until its state is ready again
  [[noreturn]] void abandon();   // by a fiber: never runs again
  std::string who_waits() const;
  std::string name_of(const Fiber& fiber) const;
  bool in_shared_memory(const void* address) const;
  std::string place_in_shared_memory(const void* address) const;

  const Launch& launch;
  uint64_t number = 0;
  std::vector<Fiber> fibers;
  Fiber* running = nullptr;  // null while the scheduler runs
  unsigned live = 0;         // fibers that have not returned
  BlockBarrier barrier;
  GuardedMemory dynamic_shared;
  StaticShared static_shared;
  sigjmp_buf after_fault;

 private:
  static void thread_main();
  void start();
  bool run_round();
  bool run_warp(unsigned warp);
  bool run_lanes(unsigned warp);
  void enter(Fiber& fiber);
  void note_return(Fiber& fiber);
  void check_overruns();
  uint64_t random();

  Stacks stacks_;
  std::vector<Warp> warps_;
  std::vector<unsigned> warp_order_;
  void* scheduler_ = nullptr;  // its saved stack pointer
  uint64_t random_state_ = 1;
};

extern __thread Block* block;  // that this host thread runs

[[noreturn]] void fail(const std::string& message);

}  // namespace cuda_on_host
