#include "races.h"

#include "memory.h"
#include "orders.h"
#include "sources.h"

namespace emulated {

namespace {

// Epochs are numbered through: a barrier of a block begins one, so does a block.
struct Now {
  const Kernel *kernel = nullptr;
  size_t shared_bytes = 0;
  uint32_t epoch = 0, first_of_block = 0, first_of_launch = 0;
  uint32_t thread = 0;
  // Barriers of each warp in this epoch.
  uint32_t warp_epochs[32] = {};
  bool atomic = false;
  // The blocks that began, by their first epochs.
  std::map<uint32_t, Index> blocks;
} now;

constexpr uint32_t WARP = 32;

// Threads that touched a byte in the same way. The last of them is known, of the others what can still be in a race.
struct Set {
  uint32_t epoch, site;
  uint32_t thread : 10, warp_epoch : 16;
  // Some were of other blocks of the launch; of other warps in this epoch; other lanes since the last barrier of the warp.
  uint32_t blocks : 1, warps : 1, lanes : 1;
  // All were atomic. The bytes of a copy have not landed.
  uint32_t atomic : 1, in_flight : 1;
};

struct Cell {
  Set reads, writes;
};
constexpr size_t CELL = sizeof(Cell);

Cell *cells(size_t bytes) { return reinterpret_cast<Cell *>(reserve(bytes * CELL)); }
Cell *const of_device = cells(DEVICE_BYTES);
Cell *const of_dynamic = cells(SHARED_BYTES);

// The cells of a module's shared variables.
Cell *of_static(const Kernel &kernel) {
  static std::map<const unsigned char *, Cell *> all;
  Cell *&found = all[kernel.shared];
  size_t bytes = kernel.shared_end - kernel.shared;
  if (!found && bytes) found = cells(bytes);
  return found;
}
Cell *of_variables = nullptr;

Set running(const void *site) {
  return {now.epoch, uint32_t(uintptr_t(site)), now.thread, now.warp_epochs[now.thread / WARP], 0, 0, 0, 0, 0};
}

// Whether some of `past`, that are not before `oldest`, may come after what the running thread does now.
bool is_unordered(const Set &past, uint32_t oldest) {
  if (past.epoch < oldest) return false;
  if (past.epoch < now.first_of_block || past.blocks) return true;
  if (past.epoch < now.epoch) return false;
  if (past.warps || past.thread / WARP != now.thread / WARP) return true;
  return past.warp_epoch == now.warp_epochs[now.thread / WARP] && (past.lanes || past.thread != now.thread);
}

// The running thread joins a set.
void join(Set &set, uint32_t oldest, Set with) {
  if (set.epoch >= oldest) {
    with.blocks = set.blocks || set.epoch < now.first_of_block;
    if (set.epoch == now.epoch) {
      with.warps = set.warps || set.thread / WARP != now.thread / WARP;
      with.lanes = set.warp_epoch == with.warp_epoch && (set.lanes || set.thread != now.thread);
    }
  }
  set = with;
}

std::string name(Access access) {
  return access == Access::Read ? "reads" : access == Access::Write ? "writes" : "adds to";
}

std::string name(const Index &block) {
  return "block (" + std::to_string(block.x) + ", " + std::to_string(block.y) + ", " + std::to_string(block.z) + ")";
}

[[noreturn]] void fail_race(const void *address, Access access, const void *site, const Set &past, const char *did) {
  bool same = past.epoch >= now.first_of_block;
  std::string other = same ? "this block" : name(std::prev(now.blocks.upper_bound(past.epoch))->second);
  const char *why = past.in_flight ? " and has not waited for" : same ? " with no barrier in between" : " in the same launch";
  // Of the address the lower half was kept: both lie in the same library.
  auto near = uintptr_t(site);
  auto site_of_past = near + int32_t(past.site - uint32_t(near));
  fail_here(name(access) + " " + place_of(address) + ", which thread " + std::to_string(past.thread) + " of " + other + " " +
                did + why + "\n  there: " + source_of(reinterpret_cast<const void *>(site_of_past)),
            site);
}

// The cells of an address that threads share, and since when it matters who touched it; null of any other.
Cell *find(uintptr_t at, size_t bytes, Access access, const void *site, uint32_t &oldest) {
  if (memory.holds(at)) {
    if (!memory.is_allocated(at, bytes))
      fail_here(name(access) + " " + std::to_string(bytes) + " bytes that are not all there: " + memory.name(at), site);
    oldest = now.first_of_launch;
    return of_device + memory.offset(at);
  }
  oldest = now.first_of_block;
  if (at - uintptr_t(now.kernel->shared) < size_t(now.kernel->shared_end - now.kernel->shared))
    return of_variables + (at - uintptr_t(now.kernel->shared));
  size_t dynamic = at - uintptr_t(shared_memory);
  if (dynamic >= SHARED_BYTES) return nullptr;
  if (dynamic + bytes > now.shared_bytes)
    fail_here(name(access) + " byte " + std::to_string(dynamic) + " of the block's shared memory, but the launch gave it " +
                  std::to_string(now.shared_bytes),
              site);
  return of_dynamic + dynamic;
}

}  // namespace

std::string place_of(const void *address) {
  auto at = uintptr_t(address);
  if (memory.holds(at)) return memory.name(at);
  size_t byte = at - uintptr_t(shared_memory);
  if (byte < SHARED_BYTES) return "byte " + std::to_string(byte) + " of the block's shared memory";
  return variable_of(address);
}

void begin_launch(const Kernel &kernel, size_t shared_bytes) {
  now.kernel = &kernel;
  now.shared_bytes = shared_bytes;
  now.first_of_launch = now.epoch + 1;
  now.atomic = false;
  now.blocks.clear();
  of_variables = of_static(kernel);
}

void begin_block() {
  begin_epoch();
  now.first_of_block = now.epoch;
  now.blocks[now.epoch] = blockIdx;
}

void begin_epoch() {
  if (++now.epoch == UINT32_MAX) fail("too many barriers for one run");
  std::fill(std::begin(now.warp_epochs), std::end(now.warp_epochs), 0);
}

void begin_warp(size_t warp) {
  if (++now.warp_epochs[warp] == 1 << 16) fail("too many barriers of a warp between two of a block");
}

void begin_thread(size_t thread) { now.thread = uint32_t(thread); }

bool was_atomic() { return now.atomic; }

void forget(size_t begin, size_t end) { empty(of_device + begin, (end - begin) * CELL); }

void touch(const void *address, size_t bytes, Access access, const void *site) {
  if (!now.kernel) return;
  uint32_t oldest;
  Cell *cell = find(uintptr_t(address), bytes, access, site, oldest);
  if (!cell) return;
  bool shared = !memory.holds(uintptr_t(address));
  if (access == Access::Atomic) now.atomic = true;
  if (access != Access::Read && !shared) before_write(address, bytes);
  Set me = running(site);
  me.atomic = access == Access::Atomic;
  auto *byte = static_cast<const unsigned char *>(address);
  for (const Cell *end = cell + bytes; cell < end; cell++, byte++) {
    auto &[reads, writes] = *cell;
    bool is_written = writes.epoch >= oldest;
    if (is_written && writes.in_flight) fail_race(byte, access, site, writes, "is copying to");
    if (!is_written && shared && access != Access::Write)
      fail_here(name(access) + " " + place_of(byte) + ", which nobody has written yet", site);
    bool both_atomic = me.atomic && writes.atomic;
    if (!both_atomic && is_unordered(writes, oldest))
      fail_race(byte, access, site, writes, writes.atomic ? "added to" : "wrote");
    if (access == Access::Read) {
      join(reads, oldest, me);
    } else {
      if (is_unordered(reads, oldest)) fail_race(byte, access, site, reads, "read");
      both_atomic ? join(writes, oldest, me) : void(writes = me);
    }
  }
}

void touch_atomically(const void *address, size_t bytes) {
  touch(address, bytes, Access::Atomic, __builtin_return_address(0));
}

void require_multiple_of_16(const void *address) {
  if (uintptr_t(address) % 16)
    fail_here("uses 16 bytes at once at no multiple of 16: " + place_of(address), __builtin_return_address(0));
}

void begin_flight(const void *to, size_t bytes, const void *site) {
  touch(to, bytes, Access::Write, site);
  uint32_t oldest;
  Cell *cell = find(uintptr_t(to), bytes, Access::Write, site, oldest);
  if (!cell || memory.holds(uintptr_t(to))) fail_here("copies to what is not shared memory", site);
  for (const Cell *end = cell + bytes; cell < end; cell++) cell->writes.in_flight = 1;
}

void end_flight(const void *to, size_t bytes, const void *site) {
  uint32_t oldest;
  Cell *cell = find(uintptr_t(to), bytes, Access::Write, site, oldest);
  for (const Cell *end = cell + bytes; cell < end; cell++) cell->writes = running(site);
}

void fail_here(const std::string &what, const void *site) {
  fail("kernel `" + now.kernel->name + "`, " + name(blockIdx) + ": thread " + std::to_string(now.thread) + " " + what +
       "\n  here:  " + source_of(site));
}

}  // namespace emulated
