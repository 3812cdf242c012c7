// Signals of a kernel that left its memory become the launch's error; elsewhere they are what they
// were before.
#pragma once
#include <csignal>
#include <vector>

namespace cuda_on_host {

class FaultHandlers {
 public:
  FaultHandlers();
  ~FaultHandlers();

 private:
  struct sigaction former_[3];
};

// A host thread's stack for the handler, because the fiber's own may be what overflowed.
class AlternateStack {
 public:
  AlternateStack();
  ~AlternateStack();

 private:
  std::vector<unsigned char> memory_;
  stack_t former_;
};

}  // namespace cuda_on_host
