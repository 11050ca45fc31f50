#include "copies.h"

#include "memory.h"
#include "races.h"

namespace emulated {

namespace {

constexpr size_t BYTES = 16;

struct Copy {
  void *to;
  // Null for zeros, and what was there when the copy began.
  const void *from;
  unsigned char bytes[BYTES];
  size_t group;
  const void *site;
};

struct Copies {
  std::vector<Copy> under_way;
  size_t groups = 0;
};

Copies &of_thread() {
  static Copies all[1024];
  return all[threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)];
}

void land(const Copy &copy) {
  if (copy.from && memcmp(copy.from, copy.bytes, BYTES))
    fail_here("copies from " + memory.name(uintptr_t(copy.from)) + " what changed before the copy had landed", copy.site);
  end_flight(copy.to, BYTES, copy.site);
  memcpy(copy.to, copy.bytes, BYTES);
}

}  // namespace

void start_copy(void *to, const void *from, bool there) {
  const void *site = __builtin_return_address(0);
  require_multiple_of_16(to);
  require_multiple_of_16(from);
  Copy copy{to, there ? from : nullptr, {}, of_thread().groups, site};
  if (there) {
    if (!memory.holds(uintptr_t(from))) fail_here("copies from what is not the device's memory", site);
    touch(from, BYTES, Access::Read, site);
    memcpy(copy.bytes, from, BYTES);
  }
  begin_flight(to, BYTES, site);
  of_thread().under_way.push_back(copy);
}

void end_of_group() { of_thread().groups++; }

void wait_for_groups(size_t left) {
  auto &[under_way, groups] = of_thread();
  std::erase_if(under_way, [&](const Copy &copy) {
    bool over = copy.group + left < groups;
    if (over) land(copy);
    return over;
  });
}

void end_of_thread() {
  auto &[under_way, groups] = of_thread();
  if (!under_way.empty()) fail_here("ends before a copy of it has landed", under_way[0].site);
  groups = 0;
}

}  // namespace emulated
