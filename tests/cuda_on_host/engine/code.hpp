// Where in a kernel's code something happened.
#pragma once
#include <string>

namespace cuda_on_host {

// " at <library+0x123>" for an address of the launched kernel's library, which Python turns into a
// file and a line; empty for any other.
std::string line_of(const void* address);

}  // namespace cuda_on_host
