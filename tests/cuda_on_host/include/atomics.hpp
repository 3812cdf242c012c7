// Atomics: one step each for all blocks, and no order among other accesses, as on the device.
#pragma once
#include <type_traits>

namespace cuda_on_host {

template <typename T> struct Identity { using type = T; };
template <typename T> using Same = typename Identity<T>::type;  // no deduction from this argument

template <typename T> T loaded(T* address) {
  T value;
  __atomic_load(address, &value, __ATOMIC_RELAXED);
  return value;
}
// Replaces the value by what `next` makes of it; returns the former one.
template <typename T, typename Next> T updated(T* address, Next next) {
  T old = loaded(address), made;
  do made = next(old);
  while (
      !__atomic_compare_exchange(address, &old, &made, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

}  // namespace cuda_on_host

template <typename T> T atomicAdd(T* address, cuda_on_host::Same<T> value) {
  return cuda_on_host::updated(address, [=](T old) { return static_cast<T>(old + value); });
}
template <typename T> T atomicMax(T* address, cuda_on_host::Same<T> value) {
  static_assert(std::is_integral_v<T>);
  return cuda_on_host::updated(address, [=](T old) { return old < value ? value : old; });
}
template <typename T> T atomicMin(T* address, cuda_on_host::Same<T> value) {
  static_assert(std::is_integral_v<T>);
  return cuda_on_host::updated(address, [=](T old) { return value < old ? value : old; });
}
template <typename T> T atomicOr(T* address, cuda_on_host::Same<T> value) {
  static_assert(std::is_integral_v<T>);
  return cuda_on_host::updated(address, [=](T old) { return old | value; });
}
template <typename T> T atomicAnd(T* address, cuda_on_host::Same<T> value) {
  static_assert(std::is_integral_v<T>);
  return cuda_on_host::updated(address, [=](T old) { return old & value; });
}
template <typename T> T atomicExch(T* address, cuda_on_host::Same<T> value) {
  return cuda_on_host::updated(address, [=](T) { return value; });
}
template <typename T>
T atomicCAS(T* address, cuda_on_host::Same<T> expected, cuda_on_host::Same<T> value) {
  __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
