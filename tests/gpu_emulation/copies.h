// Copies into shared memory that a thread does not wait for (PTX ISA 8.5, section 9.7.9.25): they land as late as they
// may, and until then nobody may touch where they go to, nor change what they copy.

#pragma once
#include <cstddef>

namespace emulated {

// 16 bytes, or zeros.
void start_copy(void *to, const void *from, bool there);
// Ends a group of copies of the running thread.
void end_of_group();
// Waits until only its last `left` groups are under way. A group that has no end is not waited for.
void wait_for_groups(size_t left);
// Nothing may be under way.
void end_of_thread();

}  // namespace emulated
