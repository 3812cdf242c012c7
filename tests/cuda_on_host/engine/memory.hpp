// Memory whose neighbourhood notices who does not keep to it.
#pragma once
#include <cstddef>
#include <string>

namespace cuda_on_host {

// On which side the bytes end at an inaccessible page. The other side has up to a page of slack,
// where writes are noticed afterwards and reads find 0x5a bytes.
enum class Guard { after, before };

// Filled with 0xff bytes (NaN as a float), inaccessible for 16 MB on either side. Aligned to 16
// bytes, where the device's is to 256.
class GuardedMemory {
 public:
  GuardedMemory(size_t bytes, Guard guard);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;

  unsigned char* data() const { return data_; }
  size_t size() const { return size_; }
  void poison();
  bool holds(const void* address) const;
  bool near(const void* address) const;  // inside or in the inaccessible pages round it
  size_t stray_bytes() const;            // how many bytes of the slack were written

 private:
  unsigned char *mapping_, *pages_, *data_;
  size_t size_, pages_size_;
};

// A host thread's copy of a kernel library's `__shared__` variables, between two fences.
struct StaticShared {
  unsigned char *begin = nullptr, *end = nullptr;

  size_t size() const { return size_t(end - begin); }
  bool holds(const void* address) const { return address >= begin && address < end; }
  void poison();
  size_t stray_bytes() const;
};

// The device's buffers.
unsigned char* allocate(size_t bytes, Guard guard);
void release(unsigned char* data);
bool in_a_buffer(const void* address);
std::string nearest_buffer(const void* address);
std::string stray_writes();  // which buffer has bytes written beside it; empty where none

}  // namespace cuda_on_host
