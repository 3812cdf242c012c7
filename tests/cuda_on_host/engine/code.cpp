#include "code.hpp"
#include <dlfcn.h>
#include "block.hpp"
#include "failure.hpp"

namespace cuda_on_host {

std::string line_of(const void* address) {
  Dl_info here{}, kernel{};
  if (!dladdr(address, &here) || !dladdr(block->launch.entry, &kernel)) return {};
  if (here.dli_fbase != kernel.dli_fbase) return {};
  auto offset = static_cast<const char*>(address) - static_cast<const char*>(here.dli_fbase);
  return text(" at <library+0x%tx>", offset);
}

}  // namespace cuda_on_host
