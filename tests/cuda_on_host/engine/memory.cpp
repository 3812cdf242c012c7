#include "memory.hpp"
#include <sys/mman.h>
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <new>
#include "failure.hpp"
#include "static_shared.hpp"

namespace cuda_on_host {
namespace {
constexpr size_t page = 4096, inaccessible = 16 << 20;
constexpr unsigned char canary = 0x5a;

size_t rounded_up(size_t bytes, size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

size_t count_other(const unsigned char* begin, const unsigned char* end, unsigned char expected) {
  return size_t(end - begin) - size_t(std::count(begin, end, expected));
}
}  // namespace

GuardedMemory::GuardedMemory(size_t bytes, Guard guard)
    : size_(bytes), pages_size_(rounded_up(bytes, page)) {
  void* mapping = mmap(nullptr, pages_size_ + 2 * inaccessible, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<unsigned char*>(mapping);
  pages_ = mapping_ + inaccessible;
  if (pages_size_ && mprotect(pages_, pages_size_, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
  data_ = guard == Guard::before ? pages_ : pages_ + pages_size_ - rounded_up(size_, 16);
  std::memset(pages_, canary, pages_size_);
  poison();
}

GuardedMemory::~GuardedMemory() { munmap(mapping_, pages_size_ + 2 * inaccessible); }

void GuardedMemory::poison() { std::memset(data_, 0xff, size_); }

bool GuardedMemory::holds(const void* address) const {
  return address >= data_ && address < data_ + size_;
}

bool GuardedMemory::near(const void* address) const {
  return address >= mapping_ && address < pages_ + pages_size_ + inaccessible;
}

size_t GuardedMemory::stray_bytes() const {
  return count_other(pages_, data_, canary) +
         count_other(data_ + size_, pages_ + pages_size_, canary);
}

void StaticShared::poison() { std::memset(begin, 0xff, size()); }

size_t StaticShared::stray_bytes() const {
  return count_other(begin, begin + static_shared_fence, 0xff) +
         count_other(end - static_shared_fence, end, 0xff);
}

namespace {
std::list<GuardedMemory> buffers;
std::mutex changing_buffers;
}  // namespace

unsigned char* allocate(size_t bytes, Guard guard) {
  std::lock_guard<std::mutex> lock(changing_buffers);
  return buffers.emplace_back(bytes, guard).data();
}

void release(unsigned char* data) {
  std::lock_guard<std::mutex> lock(changing_buffers);
  buffers.remove_if([=](const GuardedMemory& buffer) { return buffer.data() == data; });
}

bool in_a_buffer(const void* address) {
  return std::any_of(buffers.begin(), buffers.end(),
                     [=](const GuardedMemory& buffer) { return buffer.holds(address); });
}

std::string nearest_buffer(const void* address) {
  auto* byte = static_cast<const unsigned char*>(address);
  for (const GuardedMemory& buffer : buffers)
    if (buffer.near(address))
      return text("byte %td of a buffer of %zu bytes", byte - buffer.data(), buffer.size());
  return text("address %p, near no buffer", address);
}

std::string stray_writes() {
  std::lock_guard<std::mutex> lock(changing_buffers);
  for (const GuardedMemory& buffer : buffers)
    if (size_t stray = buffer.stray_bytes())
      return text("%zu bytes written beside a buffer of %zu bytes", stray, buffer.size());
  return {};
}

}  // namespace cuda_on_host
