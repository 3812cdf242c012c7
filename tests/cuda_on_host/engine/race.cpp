#include "race.hpp"
#include <cstdint>
#include <memory>
#include <unordered_map>
#include "block.hpp"
#include "code.hpp"
#include "failure.hpp"

namespace cuda_on_host {
namespace {

struct Event {
  uint32_t block;
  uint16_t thread, block_barriers, warp_barriers;
  bool happened = false, atomic;
  const void* code;
};

// The reads since the last write: the latest, and the latest of each group of threads it is not in.
struct Readers { Event latest, other_lane, other_warp, other_block; };
struct Shadow { Event write; Readers reads; };

constexpr uintptr_t page = 4096;
struct Page { Shadow bytes[page]; };

bool checking = false;
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;  // null: not the device's memory
uintptr_t last_number;  // of the page that was asked for last
Page* last_page = nullptr;

bool same_warp(const Event& a, const Event& b) {
  return a.block == b.block && a.thread / 32 == b.thread / 32;
}

bool ordered(const Event& earlier, const Event& later) {
  if (!earlier.happened) return true;
  if (earlier.atomic && later.atomic) return true;
  if (earlier.block != later.block) return false;
  return earlier.thread == later.thread || earlier.block_barriers < later.block_barriers ||
         (same_warp(earlier, later) && earlier.warp_barriers < later.warp_barriers);
}

void remember(Readers& reads, const Event& now) {
  const Event& last = reads.latest;
  if (last.happened && last.block != now.block)
    reads = {{}, {}, {}, last};
  else if (last.happened && !same_warp(last, now)) {
    reads.other_warp = last;
    reads.other_lane = {};
  } else if (last.happened && last.thread != now.thread)
    reads.other_lane = last;
  reads.latest = now;
}

const Event* unordered_reader(const Readers& reads, const Event& now) {
  for (const Event* each :
       {&reads.latest, &reads.other_lane, &reads.other_warp, &reads.other_block})
    if (!ordered(*each, now)) return each;
  return nullptr;
}

std::string place(const void* address) {
  return block->in_shared_memory(address) ? block->place_in_shared_memory(address)
                                          : nearest_buffer(address);
}

std::string told(const char* access, const Event& event) {
  return text("%s by block %u thread %u", access, event.block, event.thread) + line_of(event.code);
}

void report_race(const void* address, const std::string& one, const std::string& other) {
  report_failure("race: " + one + " and " + other + ": " + place(address));
}

bool fine(const void* address, Shadow& shadow, const Event& now, bool writes, bool shared) {
  const char* mine = now.atomic ? "atomic" : writes ? "write" : "read";
  if (shared && !shadow.write.happened && (!writes || now.atomic)) {
    report_failure("shared memory is read that no thread of the block has written, " +
                   told(mine, now) + ": " + place(address));
    return false;
  }
  if (!ordered(shadow.write, now)) {
    report_race(address, told("write", shadow.write), told(mine, now));
    return false;
  }
  const Event* reader = writes ? unordered_reader(shadow.reads, now) : nullptr;
  if (reader) report_race(address, told("read", *reader), told(mine, now));
  return !reader;
}

Page* shadow_page(uintptr_t address, bool shared) {
  uintptr_t number = address / page;
  if (number == last_number && last_page) return last_page;
  auto found = pages.find(number);
  if (found == pages.end() || (shared && !found->second)) {
    bool ours = shared || in_a_buffer(reinterpret_cast<const void*>(address));
    found = pages.insert_or_assign(number, ours ? std::make_unique<Page>() : nullptr).first;
  }
  last_number = number;
  return last_page = found->second.get();
}

}  // namespace

void race_start(bool check) {
  checking = check;
  pages.clear();
  last_page = nullptr;
}

void race_forget(const void* memory, size_t bytes) {
  if (!checking) return;
  auto first = reinterpret_cast<uintptr_t>(memory);
  for (uintptr_t byte = first; byte < first + bytes; ++byte)
    shadow_page(byte, true)->bytes[byte % page] = Shadow{};
}

void race_access(const void* memory, size_t bytes, Access access, const void* code) {
  if (!checking || !block || !block->running || failed()) return;
  const Fiber& fiber = *block->running;
  bool shared = block->in_shared_memory(memory);
  Event now{uint32_t(block->number), uint16_t(fiber.index), uint16_t(block->barrier.passed),
            uint16_t(fiber.warp_barriers), true, access == Access::atomic, code};
  auto first = reinterpret_cast<uintptr_t>(memory);
  for (uintptr_t byte = first; byte < first + bytes; ++byte) {
    Page* of = shadow_page(byte, shared);
    if (!of) return;
    Shadow& shadow = of->bytes[byte % page];
    bool writes = access != Access::read;
    if (!fine(reinterpret_cast<const void*>(byte), shadow, now, writes, shared)) return;
    if (writes)
      shadow = Shadow{now, {}};
    else
      remember(shadow.reads, now);
  }
}

}  // namespace cuda_on_host
