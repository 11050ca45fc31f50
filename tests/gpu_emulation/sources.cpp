#include "sources.h"

#include <cstdio>
#include <cstdint>
#include <dlfcn.h>
#include <sstream>

namespace emulated {

namespace {

// The library of an address, and where in it.
std::pair<std::string, size_t> in_library(const void *address) {
  Dl_info info;
  if (!dladdr(address, &info)) return {"", 0};
  return {info.dli_fname, uintptr_t(address) - uintptr_t(info.dli_fbase)};
}

std::string hex(size_t n) {
  std::ostringstream out;
  out << "0x" << std::hex << n;
  return out.str();
}

std::string output(const std::string &command) {
  std::string all;
  char some[4096];
  FILE *pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (!pipe) return all;
  for (size_t n; (n = fread(some, 1, sizeof some, pipe)) > 0;) all.append(some, n);
  pclose(pipe);
  return all;
}

}  // namespace

std::string source_of(const void *site) {
  auto [library, offset] = in_library(static_cast<const char *>(site) - 1);
  std::istringstream lines(output("addr2line -i -s -e '" + library + "' " + hex(offset)));
  std::string all;
  for (std::string line; std::getline(lines, line);) {
    line = line.substr(0, line.find(' '));
    // The language itself is none of a kernel's lines.
    if (line.starts_with("block.h:")) continue;
    all += (all.empty() ? "" : ", called at ") + line;
  }
  return all.empty() || all[0] == '?' ? library + "+" + hex(offset) : all;
}

std::string variable_of(const void *address) {
  auto [library, offset] = in_library(address);
  std::istringstream lines(output("nm -C -n -S '" + library + "'"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    size_t first, bytes;
    std::string kind, name;
    if (!(fields >> std::hex >> first >> bytes >> kind) || offset < first || offset - first >= bytes) continue;
    std::getline(fields >> std::ws, name);
    size_t function = name.rfind("::");
    if (function != name.npos) name.erase(0, function + 2);
    return "byte " + std::to_string(offset - first) + " of shared `" + name + "`";
  }
  return library + "+" + hex(offset);
}

}  // namespace emulated
