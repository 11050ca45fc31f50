// Kernels by module and name.

#pragma once
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

namespace emulated {

struct Kernel {
  std::string name;
  // Calls it with the addresses of its arguments.
  std::function<void(void **)> call;
  // Where the variables of all kernels of its module lie that are shared by a block.
  const unsigned char *shared, *shared_end;
};

std::map<std::string, Kernel> &kernels(const std::string &module);

template <class... A> std::function<void(void **)> call_of(void (*function)(A...)) {
  return [function](void **arguments) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      function(*static_cast<std::remove_const_t<A> *>(arguments[I])...);
    }(std::index_sequence_for<A...>{});
  };
}

}  // namespace emulated
