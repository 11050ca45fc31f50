#include "memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>

#include "races.h"

namespace emulated {

void fail(const std::string &what) {
  fprintf(stderr, "emulated GPU: %s\n", what.c_str());
  abort();
}

unsigned char *reserve(size_t bytes) {
  void *first = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (first == MAP_FAILED) fail("no address space for " + std::to_string(bytes) + " bytes");
  return static_cast<unsigned char *>(first);
}

void empty(void *first, size_t bytes) { madvise(first, bytes, MADV_DONTNEED); }

Memory memory;

// Allocations by their offsets.
struct Memory::Blocks {
  std::map<size_t, size_t> bytes;
  size_t next = 0;
};

Memory::Blocks &Memory::blocks() {
  static Blocks all;
  return all;
}

void *Memory::allocate(size_t bytes) {
  auto &[all, next] = blocks();
  // A piece at least stays free between two allocations.
  size_t needed = (bytes / PIECE + 2) * PIECE, at = next;
  for (bool again = false;;) {
    auto above = all.lower_bound(at);
    if (above != all.begin()) {
      auto below = std::prev(above);
      at = std::max(at, below->first + (below->second / PIECE + 2) * PIECE);
    }
    size_t end = above == all.end() ? DEVICE_BYTES : above->first;
    if (at + needed <= end) break;
    if (above != all.end()) {
      at = above->first + PIECE;
      continue;
    }
    if (again) return nullptr;
    again = true;
    at = 0;
  }
  all[at] = bytes;
  next = at + needed;
  for (size_t i = 0; i < bytes; i += PIECE) filled[(at + i) / PIECE] = uint16_t(std::min(PIECE, bytes - i));
  memset(first + at, 0xff, bytes);
  used += bytes;
  highest = std::max(highest, used);
  return first + at;
}

void Memory::release(uintptr_t address) {
  auto &all = blocks().bytes;
  auto found = all.find(offset(address));
  if (!holds(address) || found == all.end()) fail("freed what was not allocated");
  auto [at, bytes] = *found;
  used -= bytes;
  std::fill_n(filled + at / PIECE, (bytes + PIECE - 1) / PIECE, 0);
  auto above = all.erase(found);
  // Pages that it shared with a neighbour that is gone are free now too.
  constexpr size_t PAGE = 4096;
  size_t begin = at / PAGE * PAGE, end = (at + bytes + PAGE - 1) / PAGE * PAGE;
  if (above != all.begin()) begin = std::max(begin, std::prev(above)->first + std::prev(above)->second);
  if (above != all.end()) end = std::min(end, above->first);
  give_back((begin + PAGE - 1) / PAGE * PAGE, end / PAGE * PAGE);
}

void Memory::give_back(size_t begin, size_t end) {
  if (begin >= end) return;
  empty(first + begin, end - begin);
  forget(begin, end);
}

void Memory::require(const void *address, size_t bytes, const char *what) const {
  auto at = uintptr_t(address);
  if (bytes > 0 && (!holds(at) || !is_allocated(at, bytes)))
    fail(std::string(what) + " uses " + std::to_string(bytes) + " bytes that are not all there: " + name(at));
}

std::string Memory::name(uintptr_t address) const {
  auto &all = const_cast<Memory *>(this)->blocks().bytes;
  auto above = all.upper_bound(offset(address));
  if (!holds(address)) return "an address that is not the device's";
  if (above == all.begin()) return "memory that is free";
  auto [at, bytes] = *std::prev(above);
  size_t byte = offset(address) - at;
  std::string of = "byte " + std::to_string(byte) + " of " + std::to_string(bytes) + " allocated bytes";
  return byte < (bytes / PIECE + 1) * PIECE ? of : "memory that is free";
}

}  // namespace emulated
