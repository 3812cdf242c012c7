#include "failure.hpp"
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace cuda_on_host {
namespace {
std::atomic<bool> something_failed{false};
std::mutex writing;
std::string first_message;
}  // namespace

void forget_failure() {
  first_message.clear();
  something_failed = false;
}

void report_failure(const std::string& message) {
  std::lock_guard<std::mutex> lock(writing);
  if (!something_failed) first_message = message;
  something_failed = true;
}

bool failed() { return something_failed.load(std::memory_order_relaxed); }
const char* failure() { return first_message.c_str(); }

std::string text(const char* format, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

}  // namespace cuda_on_host
