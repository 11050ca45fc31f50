// The memory of the device, and what must not happen to it.

#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace emulated {

[[noreturn]] void fail(const std::string &what);

// Address space without memory behind it until it is touched; then zeros.
unsigned char *reserve(size_t bytes);
// Makes whole pages of it as they were at first.
void empty(void *first, size_t bytes);

constexpr size_t DEVICE_BYTES = size_t(8) << 30;

// One range of addresses, so that an address tells whether it is the device's. Ranges that were freed are given out
// again as late as possible: whoever goes on using one is found.
class Memory {
 public:
  // Filled with NaN; null if there is not enough.
  void *allocate(size_t bytes);
  void release(uintptr_t address);

  bool holds(uintptr_t address) const { return address - uintptr_t(first) < DEVICE_BYTES; }
  size_t offset(uintptr_t address) const { return address - uintptr_t(first); }
  // Whether all these bytes belong to something that is allocated.
  bool is_allocated(uintptr_t address, size_t bytes) const {
    for (size_t at = offset(address); bytes > 0;) {
      size_t inside = at % PIECE, some = PIECE - inside < bytes ? PIECE - inside : bytes;
      if (at >= DEVICE_BYTES || inside + some > filled[at / PIECE]) return false;
      at += some;
      bytes -= some;
    }
    return true;
  }
  // Fails unless they do. `what` uses them.
  void require(const void *address, size_t bytes, const char *what) const;
  // What lies at an address, for people.
  std::string name(uintptr_t address) const;

  uint64_t used = 0, highest = 0;

 private:
  static constexpr size_t PIECE = 256;

  // Hands whole pages of what is free around [begin, end) back to the system.
  void give_back(size_t begin, size_t end);

  unsigned char *first = reserve(DEVICE_BYTES);
  // Of each piece, the bytes that belong to an allocation; these are its first ones.
  uint16_t *filled = reinterpret_cast<uint16_t *>(reserve(DEVICE_BYTES / PIECE * sizeof(uint16_t)));
  struct Blocks;
  Blocks &blocks();
};

extern Memory memory;

}  // namespace emulated
