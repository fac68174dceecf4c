// net/test_memory.h
//
// For tests of what is held: how much of the heap is in use.

#pragma once

#include <malloc.h>

#include <cstddef>
#include <memory>
#include <string>

namespace keelson::net::test {

inline size_t heap_in_use() { return mallinfo2().uordblks; }

// False under an allocator that does not tell (a sanitizer's).
inline bool heap_is_told() {
  const size_t before = heap_in_use();
  auto probe = std::make_unique<std::string>(100'000, 'x');
  return heap_in_use() >= before + 100'000;
}

}  // namespace keelson::net::test
