#include "launch.hpp"
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>
#include "block.hpp"
#include "failure.hpp"
#include "faults.hpp"
#include "race.hpp"

namespace cuda_on_host {
namespace {

void run_blocks(const Launch& launch, std::atomic<uint64_t>& next) {
  Block mine(launch);
  block = &mine;
  AlternateStack stack;
  if (sigsetjmp(mine.after_fault, 1) == 0)
    for (uint64_t i; !failed() && (i = next++) < launch.blocks();)
      mine.run(launch.order == Order::descending ? launch.blocks() - 1 - i : i);
  block = nullptr;
  position = nullptr;
}

void run_grid(const Launch& launch) {
  std::atomic<uint64_t> next{0};
  std::vector<std::thread> others;
  for (unsigned i = 1; i < launch.workers; ++i)
    others.emplace_back([&] { run_blocks(launch, next); });
  run_blocks(launch, next);
  for (std::thread& other : others) other.join();
}

void run(const Launch& launch) {
  FaultHandlers handlers;
  race_start(launch.check_races);
  run_grid(launch);
  std::string stray = stray_writes();
  if (!stray.empty()) report_failure(stray);
}

}  // namespace
}  // namespace cuda_on_host

using namespace cuda_on_host;

// Null where it went well, else what went wrong.
extern "C" const char* cuda_on_host_launch(const Launch* what) {
  static std::mutex one_at_a_time;  // as the one stream of a device
  std::lock_guard<std::mutex> lock(one_at_a_time);
  forget_failure();
  try {
    run(*what);
  } catch (const std::exception& problem) {
    report_failure(problem.what());
  }
  return failed() ? failure() : nullptr;
}

extern "C" void* cuda_on_host_allocate(size_t bytes, int guard_before) {
  try {
    return allocate(bytes, guard_before ? Guard::before : Guard::after);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

extern "C" void cuda_on_host_release(void* data) { release(static_cast<unsigned char*>(data)); }
