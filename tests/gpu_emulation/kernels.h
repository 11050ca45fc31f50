// Kernels by module and name.

#pragma once
#include <map>
#include <string>
#include <type_traits>
#include <utility>

namespace emulated {

// Calls a kernel with the addresses of its arguments.
using Kernel = std::function<void(void **)>;

std::map<std::string, Kernel> &kernels(const std::string &module);

template <class... A> Kernel kernel_of(void (*function)(A...)) {
  return [function](void **arguments) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      function(*static_cast<std::remove_const_t<A> *>(arguments[I])...);
    }(std::index_sequence_for<A...>{});
  };
}

}  // namespace emulated
