#include "block.hpp"
#include "failure.hpp"

namespace cuda_on_host {
namespace {

void check(const Block& block, const char* operation) {
  if (block.live < block.fibers.size())
    fail(text("%s after another thread of the block has returned: ", operation) +
         block.who_waits());
  if (block.barrier.waiting && std::string(block.barrier.operation) != operation)
    fail(text("threads of one block wait in different barriers: %s and %s", block.barrier.operation,
              operation));
}

void reduce(int& result, Reduction reduction, bool first, bool predicate) {
  if (first) result = reduction == Reduction::all;
  if (reduction == Reduction::any) result |= predicate;
  if (reduction == Reduction::all) result &= predicate;
  if (reduction == Reduction::count) result += predicate;
}

void release(Block& block) {
  block.barrier.waiting = 0;
  ++block.barrier.passed;
  for (Fiber& fiber : block.fibers) fiber.state = State::ready;
}

}  // namespace

int block_barrier(Reduction reduction, int predicate, const char* operation) {
  BlockBarrier& barrier = block->barrier;
  block->running->operation = operation;
  check(*block, operation);
  int& result = barrier.results[barrier.passed % 2];
  reduce(result, reduction, barrier.waiting == 0, predicate != 0);
  barrier.operation = operation;
  block->running->state = State::at_block_barrier;
  if (++barrier.waiting == block->fibers.size())
    release(*block);
  else
    block->pause();
  return result;
}

}  // namespace cuda_on_host
