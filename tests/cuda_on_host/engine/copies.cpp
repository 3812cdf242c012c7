// cp.async, at the two extremes of when the device may copy: at once, or not before the wait.
#include <cstring>
#include "block.hpp"
#include "failure.hpp"
#include "race.hpp"

namespace cuda_on_host {
namespace {

void carry_out(const Copy& copy) {
  if (copy.there) race_access(copy.from, copy.bytes, Access::read, copy.issued_at);
  race_access(copy.to, copy.bytes, Access::write, copy.issued_at);
  if (copy.there)
    std::memcpy(copy.to, copy.from, copy.bytes);
  else
    std::memset(copy.to, 0, copy.bytes);
}

}  // namespace

void copy_async(void* to, const void* from, unsigned bytes, bool there) {
  if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes)
    fail(text("cp.async: an address is not a multiple of %u", bytes));
  if (!block->in_shared_memory(to)) fail("cp.async: the target is not in shared memory");
  Copy copy{to, from, bytes, there, __builtin_return_address(0)};
  race_access(to, bytes, Access::write, copy.issued_at);  // the device may write from here on
  if (block->launch.eager_copies)
    carry_out(copy);
  else
    std::memset(to, 0xff, bytes);
  block->running->open_copies.push_back(copy);
}

void close_copy_group() {
  Fiber& fiber = *block->running;
  fiber.copy_groups.push_back(std::move(fiber.open_copies));
  fiber.open_copies.clear();
}

void wait_for_copies(unsigned pending_groups) {
  auto& groups = block->running->copy_groups;
  for (; groups.size() > pending_groups; groups.pop_front())
    if (!block->launch.eager_copies)
      for (const Copy& copy : groups.front()) carry_out(copy);
}

}  // namespace cuda_on_host
