// What the compiler makes the kernels call.

#include "races.h"

using emulated::Access;
using emulated::touch;

#define SITE __builtin_return_address(0)
#define OF_BYTES(N)                                                              \
  void __tsan_read##N(void *address) { touch(address, N, Access::Read, SITE); } \
  void __tsan_write##N(void *address) { touch(address, N, Access::Write, SITE); }

extern "C" {

// `-fsanitize=thread`: before each access.
OF_BYTES(1)
OF_BYTES(2)
OF_BYTES(4)
OF_BYTES(8)
OF_BYTES(16)
void __tsan_read_range(void *address, size_t bytes) { touch(address, bytes, Access::Read, SITE); }
void __tsan_write_range(void *address, size_t bytes) { touch(address, bytes, Access::Write, SITE); }
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

// `-fsanitize=alignment`: where a number, or several at once, do not lie at a multiple of their size.
void __ubsan_handle_type_mismatch_v1(void *, uintptr_t at) {
  auto *address = reinterpret_cast<const void *>(at);
  emulated::fail_here("uses several bytes at once at no multiple of their number: " + emulated::place_of(address), SITE);
}

// `--wrap` of the linker: what stayed a call of the library.
void *__wrap_memcpy(void *to, const void *from, size_t bytes) {
  touch(from, bytes, Access::Read, SITE);
  touch(to, bytes, Access::Write, SITE);
  return memcpy(to, from, bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t bytes) {
  touch(from, bytes, Access::Read, SITE);
  touch(to, bytes, Access::Write, SITE);
  return memmove(to, from, bytes);
}

void *__wrap_memset(void *to, int value, size_t bytes) {
  touch(to, bytes, Access::Write, SITE);
  return memset(to, value, bytes);
}
}
