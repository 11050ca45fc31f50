// Fibers for the threads of a block.

#include "block.h"

#include <array>
#include <ucontext.h>
#include <vector>

emulated::Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

unsigned char shared_memory[SHARED_BYTES];

namespace {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;

enum class State { Ready, AtWarp, AtBlock, Done };

struct Fiber {
  ucontext_t context;
  std::vector<unsigned char> stack;
  State state;
  Index index;
};

std::vector<Fiber> fibers;
std::vector<uint64_t> slots;
ucontext_t scheduler;
size_t current;
const std::function<void()> *body;

void enter() {
  (*body)();
  fibers[current].state = State::Done;
  swapcontext(&fibers[current].context, &scheduler);
}

void wait(State state) {
  fibers[current].state = state;
  swapcontext(&fibers[current].context, &scheduler);
}

// Lets the threads from `first` to `end` go on if all that run wait for the same; whether any did.
bool release(size_t first, size_t end, State state) {
  bool any = false;
  for (size_t i = first; i < end; i++) {
    if (fibers[i].state == State::Done) continue;
    if (fibers[i].state != state) return false;
    any = true;
  }
  for (size_t i = first; i < end; i++)
    if (fibers[i].state == state) fibers[i].state = State::Ready;
  return any;
}

void run_block(size_t threads) {
  // What the block before left in shared memory must not be relied on.
  memset(shared_memory, 0xff, sizeof shared_memory);
  for (size_t i = 0; i < threads; i++) {
    Fiber &fiber = fibers[i];
    getcontext(&fiber.context);
    if (fiber.stack.empty()) fiber.stack.resize(STACK_BYTES);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    fiber.state = State::Ready;
    unsigned n = unsigned(i);
    fiber.index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
    makecontext(&fiber.context, enter, 0);
  }
  for (;;) {
    bool ran = false, left = false;
    for (current = 0; current < threads; current++) {
      if (fibers[current].state != State::Ready) continue;
      threadIdx = fibers[current].index;
      swapcontext(&scheduler, &fibers[current].context);
      ran = true;
    }
    for (size_t first = 0; first < threads; first += WARP)
      left |= release(first, std::min(first + WARP, threads), State::AtWarp);
    left |= release(0, threads, State::AtBlock);
    if (left) continue;
    for (size_t i = 0; i < threads; i++)
      if (fibers[i].state != State::Done) {
        fprintf(stderr, "emulated GPU: some threads of a block wait for others that never come\n");
        abort();
      }
    if (!ran) abort();
    return;
  }
}

}  // namespace

void run(Index grid, Index block, const std::function<void()> &thread) {
  blockDim = block;
  gridDim = grid;
  body = &thread;
  size_t threads = size_t(block.x) * block.y * block.z;
  if (fibers.size() < threads) fibers.resize(threads);
  slots.assign(threads, 0);
  for (unsigned z = 0; z < grid.z; z++)
    for (unsigned y = 0; y < grid.y; y++)
      for (unsigned x = 0; x < grid.x; x++) {
        blockIdx = {x, y, z};
        run_block(threads);
      }
}

void wait_for_block() { wait(State::AtBlock); }

unsigned lane() { return unsigned(current % WARP); }

uint64_t exchange(uint64_t bits, unsigned other_lane) {
  slots[current] = bits;
  wait(State::AtWarp);
  uint64_t theirs = slots[current / WARP * WARP + other_lane];
  wait(State::AtWarp);
  return theirs;
}

void give_and_take(const void *mine, size_t bytes, unsigned char (*all)[GIVEN_BYTES]) {
  static std::vector<std::array<unsigned char, GIVEN_BYTES>> given;
  if (given.size() < fibers.size()) given.resize(fibers.size());
  memcpy(given[current].data(), mine, bytes);
  wait(State::AtWarp);
  for (size_t i = 0; i < WARP; i++) memcpy(all[i], given[current / WARP * WARP + i].data(), bytes);
  wait(State::AtWarp);
}

}  // namespace emulated
