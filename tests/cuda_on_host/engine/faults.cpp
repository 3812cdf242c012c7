#include "faults.hpp"
#include <ucontext.h>
#include "block.hpp"
#include "code.hpp"
#include "failure.hpp"

namespace cuda_on_host {
namespace {

constexpr int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};

std::string place(const void* address) {
  auto* byte = static_cast<const unsigned char*>(address);
  unsigned char* stack = block->running->stack;
  if (byte >= stack - stack_guard_bytes && byte < stack) return "the thread's stack has overflowed";
  if (block->dynamic_shared.near(address)) return block->place_in_shared_memory(address);
  return nearest_buffer(address);
}

void handle(int signal, siginfo_t* info, void* context) {
  if (!block || !block->running) {  // not a kernel's fault
    std::signal(signal, SIG_DFL);
    raise(signal);
    return;
  }
  auto* at = reinterpret_cast<const void*>(
      static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  std::string what =
      signal == SIGFPE ? "division by zero" : "illegal memory access: " + place(info->si_addr);
  report_failure(what + ", " + block->name_of(*block->running) + line_of(at));
  siglongjmp(block->after_fault, 1);
}

}  // namespace

FaultHandlers::FaultHandlers() {
  struct sigaction mine {};
  mine.sa_sigaction = handle;
  mine.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < 3; ++i) sigaction(signals[i], &mine, &former_[i]);
}

FaultHandlers::~FaultHandlers() {
  for (int i = 0; i < 3; ++i) sigaction(signals[i], &former_[i], nullptr);
}

AlternateStack::AlternateStack() : memory_(1 << 16) {
  stack_t mine{};
  mine.ss_sp = memory_.data();
  mine.ss_size = memory_.size();
  sigaltstack(&mine, &former_);
}

AlternateStack::~AlternateStack() { sigaltstack(&former_, nullptr); }

}  // namespace cuda_on_host
