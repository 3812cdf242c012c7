// The first thing that goes wrong ends the launch, and its words are the launch's error.
#pragma once
#include <string>

namespace cuda_on_host {

void forget_failure();
void report_failure(const std::string& message);  // of several, the first counts
bool failed();
const char* failure();  // empty where nothing failed

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace cuda_on_host
