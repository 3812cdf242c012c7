#include "block.hpp"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include "failure.hpp"
#include "race.hpp"

namespace cuda_on_host {

__thread const Position* position = nullptr;
__thread Block* block = nullptr;

Block::Block(const Launch& what)
    : launch(what),
      fibers(what.threads()),
      dynamic_shared(what.shared_bytes, Guard::after),
      static_shared(what.static_shared()),
      stacks_(what.threads()),
      warps_((what.threads() + 31) / 32),
      warp_order_(warps_.size()) {
  for (unsigned i = 0; i < fibers.size(); ++i) fibers[i].stack = stacks_[i];
  for (unsigned i = 0; i < warps_.size(); ++i)
    warp_order_[i] = launch.order == Order::descending ? unsigned(warps_.size()) - 1 - i : i;
}

void Block::start() {
  dim3 size = launch.block, grid = launch.grid;
  live = unsigned(fibers.size());
  barrier = BlockBarrier{};
  random_state_ = (launch.seed + number) * 0x9E3779B97F4A7C15u | 1;
  dynamic_shared.poison();
  static_shared.poison();
  race_forget(dynamic_shared.data(), dynamic_shared.size());
  race_forget(static_shared.begin, static_shared.size());
  for (unsigned w = 0; w < warps_.size(); ++w) {
    unsigned lanes = std::min(32u, live - 32 * w);
    warps_[w].start(lanes == 32 ? ~0u : (1u << lanes) - 1);
  }
  for (unsigned i = 0; i < fibers.size(); ++i) {
    Fiber& fiber = fibers[i];
    fiber.index = i;
    fiber.thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    fiber.block = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y),
                   unsigned(number / grid.x / grid.y)};
    fiber.block_size = size;
    fiber.grid_size = grid;
    fiber.lane = i % 32;
    fiber.warp = warps_[i / 32].lanes;
    fiber.state = State::ready;
    fiber.warp_barriers = 0;
    fiber.open_copies.clear();
    fiber.copy_groups.clear();
    prepare(fiber, thread_main);
  }
}

void Block::thread_main() {
  block->launch.entry->call(block->launch.arguments);
  const Fiber& fiber = *block->running;
  for (const auto& group : fiber.copy_groups)
    if (!group.empty()) fail("the thread returned without waiting for its asynchronous copies");
  if (!fiber.open_copies.empty()) fail("the thread returned with asynchronous copies in no group");
  block->abandon();
}

void Block::run(uint64_t which) {
  number = which;
  start();
  while (live && !failed())
    if (!run_round() && !failed()) report_failure("deadlock: " + who_waits());
  if (!failed()) check_overruns();
}

// Ascending and descending, a warp runs as far as it can before the next; at random they take
// turns.
bool Block::run_round() {
  bool progress = false;
  if (launch.order == Order::random)
    for (size_t i = warp_order_.size(); i > 1; --i)
      std::swap(warp_order_[i - 1], warp_order_[random() % i]);
  for (unsigned warp : warp_order_) progress |= run_warp(warp);
  return progress;
}

bool Block::run_warp(unsigned warp) {
  bool progress = run_lanes(warp);
  if (launch.order != Order::random)
    while (run_lanes(warp)) {}
  return progress;
}

bool Block::run_lanes(unsigned warp) {
  unsigned first = 32 * warp, lanes = std::min(32u, unsigned(fibers.size()) - first);
  unsigned turn = launch.order == Order::random ? unsigned(random() % lanes) : 0;
  bool progress = false;
  for (unsigned i = 0; i < lanes && !failed(); ++i) {
    unsigned lane = launch.order == Order::descending ? lanes - 1 - i : (i + turn) % lanes;
    Fiber& fiber = fibers[first + lane];
    if (fiber.state != State::ready) continue;
    progress = true;
    enter(fiber);
    if (fiber.state == State::returned) note_return(fiber);
  }
  return progress;
}

void Block::note_return(Fiber& fiber) {
  --live;
  warp_of(fiber).running &= ~(1u << fiber.lane);
}

void Block::enter(Fiber& fiber) {
  running = &fiber;
  position = &fiber;
  cuda_on_host_switch(&scheduler_, fiber.stack_pointer);
  running = nullptr;
  position = nullptr;
}

void Block::pause() { cuda_on_host_switch(&running->stack_pointer, scheduler_); }

void Block::abandon() {
  running->state = State::returned;
  pause();
  abort();
}

void Block::check_overruns() {
  if (dynamic_shared.stray_bytes())
    report_failure("bytes written beside the dynamic shared memory");
  if (static_shared.stray_bytes()) report_failure("bytes written beside the static shared memory");
}

std::string Block::name_of(const Fiber& fiber) const {
  return text("block (%u,%u,%u) thread (%u,%u,%u)", fiber.block.x, fiber.block.y, fiber.block.z,
              fiber.thread.x, fiber.thread.y, fiber.thread.z);
}

std::string Block::who_waits() const {
  unsigned counts[4] = {};
  std::string named;
  const Fiber* before = nullptr;
  for (const Fiber& fiber : fibers) {
    ++counts[int(fiber.state)];
    bool differs = !before || before->state != fiber.state;
    if (differs && named.size() < 200)
      named +=
          "; " + name_of(fiber) +
          (fiber.state == State::returned ? " has returned" : text(" is in %s", fiber.operation));
    before = &fiber;
  }
  return text("%u threads wait at the block's barrier, %u in warp operations, %u have returned",
              counts[int(State::at_block_barrier)], counts[int(State::at_warp_operation)],
              counts[int(State::returned)]) + named;
}

bool Block::in_shared_memory(const void* address) const {
  return dynamic_shared.holds(address) || static_shared.holds(address);
}

std::string Block::place_in_shared_memory(const void* address) const {
  auto* byte = static_cast<const unsigned char*>(address);
  if (static_shared.holds(address)) return "static shared memory";
  return text("byte %td of %zu bytes of dynamic shared memory", byte - dynamic_shared.data(),
              dynamic_shared.size());
}

uint64_t Block::random() {  // xorshift64
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 7;
  random_state_ ^= random_state_ << 17;
  return random_state_;
}

unsigned char* dynamic_shared() { return block->dynamic_shared.data(); }

void fail(const char* message) { fail(std::string(message)); }

void fail(const std::string& message) {
  report_failure(message + ", " + block->name_of(*block->running));
  block->abandon();
}

}  // namespace cuda_on_host
