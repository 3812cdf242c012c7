// What g++ -fsanitize=undefined calls where a kernel does what C++ leaves undefined: among it
// misaligned vector loads, indices past an array's end, shifts too far and signed overflow.
#include "block.hpp"
#include "failure.hpp"

namespace {

struct SourceLocation {  // the first member of what every handler is given
  const char* file;
  uint32_t line, column;
};

[[noreturn]] void undefined(const void* data, const char* what) {
  auto* at = static_cast<const SourceLocation*>(data);
  std::string message =
      cuda_on_host::text("undefined behaviour: %s at %s:%u", what, at->file, at->line);
  if (cuda_on_host::block && cuda_on_host::block->running) cuda_on_host::fail(message);
  fprintf(stderr, "%s\n", message.c_str());
  abort();
}

}  // namespace

#define HANDLER(name, what) \
  extern "C" void __ubsan_handle_##name(const void* data) { undefined(data, what); }
HANDLER(type_mismatch_v1_abort, "a misaligned or null address, or one past its object")
HANDLER(out_of_bounds_abort, "an index past its array")
HANDLER(shift_out_of_bounds_abort, "a shift by too much")
HANDLER(add_overflow_abort, "overflow of a signed sum")
HANDLER(sub_overflow_abort, "overflow of a signed difference")
HANDLER(mul_overflow_abort, "overflow of a signed product")
HANDLER(negate_overflow_abort, "overflow of a negation")
HANDLER(divrem_overflow_abort, "division by zero, or its overflow")
HANDLER(pointer_overflow_abort, "an address beyond all memory")
HANDLER(load_invalid_value_abort, "a value that its type cannot have")
HANDLER(invalid_builtin_abort, "an argument that an intrinsic cannot take")
HANDLER(nonnull_arg_abort, "null where a function forbids it")
HANDLER(vla_bound_not_positive_abort, "an array of no length")
HANDLER(builtin_unreachable, "code that was said to be unreachable")
HANDLER(missing_return, "a function's end without its return")
