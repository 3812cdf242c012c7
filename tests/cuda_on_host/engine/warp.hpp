// Lanes of a warp that wait for each other.
#pragma once
#include "../include/engine.hpp"

namespace cuda_on_host {

// Lanes of one mask in one operation. Two sets of slots, because lanes may come to the next
// operation while others have yet to look at this one.
struct Meeting {
  unsigned mask = 0;  // 0: nobody waits
  unsigned arrived = 0;
  unsigned count = 0;  // of those that ended
  const char* operation = "";
  Slot slots[2][32];
};

// Meetings that wait at the same time have no lane in common, so each is found at its lowest lane.
struct Warp {
  unsigned lanes = 0;    // those that the block has
  unsigned running = 0;  // those that have not returned
  unsigned waiting = 0;  // those in masks of meetings that wait
  Meeting meetings[32];

  void start(unsigned lane_mask);
};

}  // namespace cuda_on_host
