// What the parts of the driver share.

#pragma once
#include <cstdint>
#include <mutex>

namespace emulated {

// Rust's test threads share the device.
class Alone {
 public:
  Alone() : lock(one_at_a_time) {}

 private:
  inline static std::recursive_mutex one_at_a_time;
  std::lock_guard<std::recursive_mutex> lock;
};

// Something to point to for handles that are never looked into.
template <class T> T handle() { return reinterpret_cast<T>(uintptr_t(0x1000)); }

}  // namespace emulated
