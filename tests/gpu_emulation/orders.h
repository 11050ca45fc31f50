// The order in which blocks and threads run: one after the other as they are numbered, or as EMULATED_GPU_SEED draws it.
//
// With a seed each launch runs both ways, and must write the same bits, unless it has atomic operations: sums of floats
// may depend on their order, so it runs as drawn.

#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace emulated {

// Whether there is a seed.
bool has_seed();
// Whether what comes now runs as drawn.
void draw_orders(bool drawn);
// 0 to n - 1 in the order in which to run.
const std::vector<size_t> &order_of(size_t n);

// Remembers what a thread is about to write to.
void before_write(const void *address, size_t bytes);
// Undoes all writes since the last call to `forget_writes`.
void undo_writes();
// The first place where what they wrote is not there again; empty if there is none.
const void *first_difference();
void forget_writes();

}  // namespace emulated
