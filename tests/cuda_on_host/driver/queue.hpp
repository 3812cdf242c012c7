// Streams whose work waits until somebody waits for it.
//
// CUDA promises that work of a stream is done in order, and between streams nothing but what events
// and the legacy default stream say. So here nothing is done when it is enqueued: only a wait for a
// stream or an event runs what they need, and not more. Who forgets to wait finds old memory.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "cuda_types.hpp"

using Work = std::function<void()>;

struct Capture {
  std::vector<Work> work;
  bool valid = true;
};

struct Stream {
  Stream(uintptr_t context, bool blocking) : context(context), blocking(blocking) {}
  uintptr_t context;
  bool blocking;  // waits for the legacy default stream, which waits for it
  std::deque<Work> queue;
  unsigned long long enqueued = 0, done = 0;
  std::unique_ptr<Capture> capture;

  void enqueue(Work work);
  void run_until(unsigned long long ticket);
  void run() { run_until(enqueued); }
};

struct Event {
  uintptr_t context;
  bool timed;
  std::shared_ptr<Stream> stream{};  // where it was last recorded
  unsigned long long ticket = 0;
  std::chrono::steady_clock::time_point moment{};
};

struct Graph {
  uintptr_t context;
  std::vector<Work> work;
};

// The stream of a handle: 0 and 1 are the legacy default stream of the current context. Null where
// there is none in it.
std::shared_ptr<Stream> stream_of(uintptr_t handle);
// Runs everything in every stream.
void run_all();
