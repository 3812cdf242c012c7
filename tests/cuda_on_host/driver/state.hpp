// What all calls share: one lock, the current context of each thread, and the error that a failed
// kernel leaves, which every later call returns.
#pragma once
#include <mutex>

#include "queue.hpp"

struct Turn {
  Turn();
  ~Turn();
};

// The current context of the calling thread, or 0.
uintptr_t current();
// SUCCESS, or why a call that needs a context cannot be done.
int ready();
// The error of a kernel that failed, or SUCCESS.
int failure();
void fail(Result error);

// Puts work into a stream, or into the graph that it is recorded in.
Result enqueue(uintptr_t stream, Work work);
