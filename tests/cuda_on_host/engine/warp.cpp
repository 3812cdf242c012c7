#include "warp.hpp"
#include "block.hpp"
#include "failure.hpp"

namespace cuda_on_host {

void Warp::start(unsigned lane_mask) {
  lanes = running = lane_mask;
  waiting = 0;
  for (Meeting& meeting : meetings) meeting.mask = meeting.arrived = meeting.count = 0;
}

namespace {

Meeting& joined(Warp& warp, unsigned mask, const Fiber& fiber, const char* operation) {
  if (!((mask >> fiber.lane) & 1u)) fail(text("%s: the lane is not in its own mask", operation));
  if (mask & ~warp.running) fail(text("%s: its mask names a lane that has returned", operation));
  Meeting& meeting = warp.meetings[__builtin_ctz(mask)];
  if (!(warp.waiting & mask)) {
    meeting.mask = mask;
    meeting.operation = operation;
    warp.waiting |= mask;
  } else if (meeting.mask != mask) {
    fail(text("%s: lanes of one warp meet with different masks", operation));
  } else if (std::string(meeting.operation) != operation) {
    fail(text("lanes of one warp meet in different operations: %s and %s", meeting.operation,
              operation));
  }
  return meeting;
}

void end(Meeting& meeting, Warp& warp, unsigned first_thread) {
  for (unsigned lane = 0; lane < 32; ++lane)
    if ((meeting.mask >> lane) & 1u) block->fibers[first_thread + lane].state = State::ready;
  warp.waiting &= ~meeting.mask;
  meeting.mask = meeting.arrived = 0;
  ++meeting.count;
}

}  // namespace

const Slot* meet(unsigned mask, const Slot& mine, const char* operation) {
  Fiber& fiber = *block->running;
  Warp& warp = block->warp_of(fiber);
  Meeting& meeting = joined(warp, mask & warp.lanes, fiber, operation);
  unsigned count = meeting.count;
  Slot* slots = meeting.slots[count % 2];
  slots[fiber.lane] = mine;
  meeting.arrived |= 1u << fiber.lane;
  fiber.state = State::at_warp_operation;
  fiber.operation = operation;
  if (meeting.arrived == meeting.mask)
    end(meeting, warp, fiber.index - fiber.lane);
  else
    block->pause();
  if (meeting.count != count + 1)
    fail(text("%s: lanes run ahead with other masks: not modelled", operation));
  return slots;
}

void warp_barrier(unsigned mask) {
  meet(mask, Slot{}, "__syncwarp");
  ++block->running->warp_barriers;
}

unsigned lanes_that_run() { return block->warp_of(*block->running).running; }

}  // namespace cuda_on_host
