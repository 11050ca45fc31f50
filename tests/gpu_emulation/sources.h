// Places of a kernel's library, for people.

#pragma once
#include <string>

namespace emulated {

// Files and lines of an address that a call returns to, from the innermost function on.
std::string source_of(const void *site);
// The variable of a library that holds an address.
std::string variable_of(const void *address);

}  // namespace emulated
