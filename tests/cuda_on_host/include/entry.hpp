// Kernels as the launcher finds them: by name, with what their parameters and limits are.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

namespace cuda_on_host {

struct Entry {
  void (*call)(void** arguments);
  const char* const* parameters;  // as numpy names types, pointers with a star: "<f4", "*<f4"
  unsigned parameter_count, most_threads;
};

template <typename T>
struct TypeName {
  static constexpr const char *value = "?", *pointer = "*?";
};
#define CUDA_ON_HOST_NAME(type, name)                               \
  template <>                                                       \
  struct TypeName<type> {                                           \
    static constexpr const char *value = name, *pointer = "*" name; \
  };
CUDA_ON_HOST_NAME(bool, "|b1")
CUDA_ON_HOST_NAME(signed char, "|i1")
CUDA_ON_HOST_NAME(unsigned char, "|u1")
CUDA_ON_HOST_NAME(short, "<i2")
CUDA_ON_HOST_NAME(unsigned short, "<u2")
CUDA_ON_HOST_NAME(int, "<i4")
CUDA_ON_HOST_NAME(unsigned, "<u4")
CUDA_ON_HOST_NAME(long, "<i8")
CUDA_ON_HOST_NAME(unsigned long, "<u8")
CUDA_ON_HOST_NAME(long long, "<i8")
CUDA_ON_HOST_NAME(unsigned long long, "<u8")
CUDA_ON_HOST_NAME(half16, "<f2")
CUDA_ON_HOST_NAME(float, "<f4")
CUDA_ON_HOST_NAME(double, "<f8")
#undef CUDA_ON_HOST_NAME

template <typename T> constexpr const char* name_of_type() {
  if constexpr (std::is_pointer_v<T>)
    return TypeName<std::remove_cv_t<std::remove_pointer_t<T>>>::pointer;
  else
    return TypeName<std::remove_cv_t<T>>::value;
}

template <auto kernel> struct Kernel;
template <typename... Parameters, void (*kernel)(Parameters...)> struct Kernel<kernel> {
  static constexpr unsigned count = sizeof...(Parameters);
  static constexpr const char* names[count + 1] = {name_of_type<Parameters>()..., nullptr};
  static void call(void** arguments) {
    unpack(arguments, std::index_sequence_for<Parameters...>{});
  }
  template <size_t... i> static void unpack([[maybe_unused]] void** arguments,
                                            std::index_sequence<i...>) {
    kernel(*static_cast<std::remove_cv_t<Parameters>*>(arguments[i])...);
  }
};

constexpr unsigned most_threads(unsigned threads = 1024, unsigned = 1) { return threads; }

}  // namespace cuda_on_host

// CUDA_ON_HOST_ENTRY(kernel, what stood in its __launch_bounds__)
#define CUDA_ON_HOST_ENTRY(kernel, ...)                                                    \
  extern "C" __attribute__((visibility("default"))) const cuda_on_host::Entry entry_##kernel{ \
      cuda_on_host::Kernel<&kernel>::call, cuda_on_host::Kernel<&kernel>::names,              \
      cuda_on_host::Kernel<&kernel>::count, cuda_on_host::most_threads(__VA_ARGS__)};
