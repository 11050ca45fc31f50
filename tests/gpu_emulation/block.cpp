// Fibers for the threads of a block.

#include "block.h"

#include <array>
#include <csetjmp>
#include <ucontext.h>
#include <vector>

#include "copies.h"
#include "memory.h"
#include "orders.h"
#include "races.h"
#include "sources.h"

emulated::Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

unsigned char shared_memory[SHARED_BYTES];

namespace {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;

enum class State { Ready, AtWarp, AtBlock, Done };

struct Fiber {
  jmp_buf at;
  std::vector<unsigned char> stack;
  State state;
  // Where it waits, and whether for what others wrote to memory.
  const void *site;
  bool for_memory;
  Index index;
  // What its lane gives to others: in turns, as some may still read what it gave before.
  std::array<unsigned char, GIVEN_BYTES> given[2];
  unsigned turn;
};

std::vector<Fiber> fibers;
// The lanes of each warp that met last.
uint32_t met[32];
jmp_buf scheduler;
size_t current;
const std::function<void()> *body;

// Not `swapcontext`, which asks the system for the mask of signals each time.
void go(jmp_buf &from, jmp_buf &to) {
  if (!_setjmp(from)) _longjmp(to, 1);
}

// A fiber runs one thread after the other.
void enter() {
  for (;;) {
    (*body)();
    end_of_thread();
    fibers[current].state = State::Done;
    go(fibers[current].at, scheduler);
  }
}

void start(Fiber &fiber) {
  fiber.stack.resize(STACK_BYTES);
  ucontext_t context, here;
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack.data();
  context.uc_stack.ss_size = STACK_BYTES;
  context.uc_link = nullptr;
  // Up to its first thread.
  makecontext(&context, [] {
    go(fibers[current].at, scheduler);
    enter();
  }, 0);
  if (!_setjmp(scheduler)) swapcontext(&here, &context);
}

void wait(State state, const void *site, bool for_memory) {
  Fiber &fiber = fibers[current];
  fiber.state = state;
  fiber.site = site;
  fiber.for_memory = for_memory;
  go(fiber.at, scheduler);
}

// Lets the threads from `first` to `end` go on if all that run wait for the same; whether any did.
bool release(size_t first, size_t end, State state) {
  const Fiber *one = nullptr;
  for (size_t i = first; i < end; i++) {
    if (fibers[i].state == State::Done) continue;
    if (fibers[i].state != state) return false;
    if (one && one->site != fibers[i].site) {
      begin_thread(i);
      auto other = std::to_string(one - fibers.data());
      fail_here("waits elsewhere than thread " + other + "\n  there: " + source_of(one->site), fibers[i].site);
    }
    one = &fibers[i];
  }
  if (!one) return false;
  if (state == State::AtBlock) begin_epoch();
  if (state == State::AtWarp && one->for_memory) begin_warp(first / WARP);
  if (state == State::AtWarp) met[first / WARP] = 0;
  for (size_t i = first; i < end; i++) {
    if (fibers[i].state != state) continue;
    fibers[i].state = State::Ready;
    if (state == State::AtWarp) met[first / WARP] |= 1u << i % WARP;
  }
  return true;
}

void run_block(size_t threads) {
  begin_block();
  for (size_t i = 0; i < threads; i++) {
    fibers[i].state = State::Ready;
    fibers[i].turn = 0;
    unsigned n = unsigned(i);
    fibers[i].index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
  }
  for (bool left = true; left;) {
    for (size_t i : order_of(threads)) {
      if (fibers[i].state != State::Ready) continue;
      current = i;
      threadIdx = fibers[i].index;
      begin_thread(i);
      go(scheduler, fibers[i].at);
    }
    left = false;
    for (size_t first = 0; first < threads; first += WARP)
      left |= release(first, std::min(first + WARP, threads), State::AtWarp);
    left |= release(0, threads, State::AtBlock);
  }
  for (size_t i = 0; i < threads; i++)
    if (fibers[i].state != State::Done) {
      begin_thread(i);
      fail_here("waits for threads that never come", fibers[i].site);
    }
}

void run_grid(size_t threads) {
  // A copy, as threads are put in order meanwhile.
  const std::vector<size_t> blocks = order_of(size_t(gridDim.x) * gridDim.y * gridDim.z);
  for (size_t i : blocks) {
    unsigned n = unsigned(i);
    blockIdx = {n % gridDim.x, n / gridDim.x % gridDim.y, n / gridDim.x / gridDim.y};
    run_block(threads);
  }
}

// A lane of the running thread's warp, which must have met it.
Fiber &fiber_of(unsigned lane, const void *site) {
  if (!(met[current / WARP] >> lane & 1))
    fail_here("needs lane " + std::to_string(lane) + " of its warp, which is not there", site);
  return fibers[current / WARP * WARP + lane];
}

}  // namespace

void run(const Kernel &kernel, Index grid, Index block, size_t shared_bytes, void **arguments) {
  blockDim = block;
  gridDim = grid;
  std::function<void()> thread = [&] { kernel.call(arguments); };
  body = &thread;
  size_t threads = size_t(block.x) * block.y * block.z;
  while (fibers.size() < threads) {
    fibers.reserve(1024);
    current = fibers.size();
    start(fibers.emplace_back());
  }
  draw_orders(has_seed());
  begin_launch(kernel, shared_bytes);
  run_grid(threads);
  if (has_seed() && !was_atomic()) {
    undo_writes();
    draw_orders(false);
    begin_launch(kernel, shared_bytes);
    run_grid(threads);
    if (const void *at = first_difference())
      fail("kernel `" + kernel.name + "` writes something else to " + place_of(at) + " if its threads run in another order");
  }
  forget_writes();
}

void wait_for_block() { wait(State::AtBlock, __builtin_return_address(0), true); }

void wait_for_warp(unsigned lanes) {
  const void *site = __builtin_return_address(0);
  if (lanes != ~0u) fail_here("waits for some lanes of its warp, which is not emulated", site);
  wait(State::AtWarp, site, true);
}

unsigned lane() { return unsigned(current % WARP); }

uint64_t exchange(uint64_t bits, unsigned other_lane, unsigned lanes) {
  const void *site = __builtin_return_address(0);
  if (lanes != ~0u) fail_here("shuffles with some lanes of its warp, which is not emulated", site);
  Fiber &mine = fibers[current];
  unsigned turn = mine.turn ^= 1;
  memcpy(mine.given[turn].data(), &bits, sizeof bits);
  wait(State::AtWarp, site, false);
  memcpy(&bits, fiber_of(other_lane, site).given[turn].data(), sizeof bits);
  return bits;
}

void give_and_take(const void *mine, size_t bytes, unsigned char (*all)[GIVEN_BYTES]) {
  const void *site = __builtin_return_address(0);
  unsigned turn = fibers[current].turn ^= 1;
  memcpy(fibers[current].given[turn].data(), mine, bytes);
  wait(State::AtWarp, site, false);
  for (unsigned lane = 0; lane < WARP; lane++) memcpy(all[lane], fiber_of(lane, site).given[turn].data(), bytes);
}

}  // namespace emulated
