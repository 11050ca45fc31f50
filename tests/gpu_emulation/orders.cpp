#include "orders.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "memory.h"

namespace emulated {

namespace {

// Bytes that a thread wrote, as they were before and when the launch was over.
struct Write {
  unsigned char *address;
  std::vector<unsigned char> before, after;
};
std::vector<Write> writes;
bool drawn = false;

const char *seed() { return getenv("EMULATED_GPU_SEED"); }

std::mt19937 &source() {
  static std::mt19937 bits([] {
    char *end;
    unsigned long value = strtoul(seed(), &end, 10);
    if (!*seed() || *end) fail("EMULATED_GPU_SEED is `" + std::string(seed()) + "`: a number is needed");
    return uint32_t(value);
  }());
  return bits;
}

}  // namespace

bool has_seed() {
  static const bool has = seed();
  return has;
}

void draw_orders(bool now) { drawn = now; }

const std::vector<size_t> &order_of(size_t n) {
  static std::vector<size_t> order;
  if (drawn || order.size() != n || !std::is_sorted(order.begin(), order.end())) {
    order.resize(n);
    std::iota(order.begin(), order.end(), 0);
    if (drawn) std::shuffle(order.begin(), order.end(), source());
  }
  return order;
}

void before_write(const void *address, size_t bytes) {
  if (!drawn) return;
  auto *first = static_cast<unsigned char *>(const_cast<void *>(address));
  writes.push_back({first, {first, first + bytes}, {}});
}

void undo_writes() {
  for (auto &write : writes) write.after.assign(write.address, write.address + write.before.size());
  for (auto write = writes.rbegin(); write != writes.rend(); write++)
    memcpy(write->address, write->before.data(), write->before.size());
}

const void *first_difference() {
  for (auto &write : writes)
    for (size_t i = 0; i < write.after.size(); i++)
      if (write.address[i] != write.after[i]) return write.address + i;
  return nullptr;
}

void forget_writes() { writes.clear(); }

}  // namespace emulated
