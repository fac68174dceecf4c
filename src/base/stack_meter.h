// base/stack_meter.h
//
// How much stack a function takes, for tests: it runs on a thread whose stack is fresh memory, and
// what is no longer zero afterwards was used.
//
// Threads: any; waits for the one it makes.

#pragma once

#include <pthread.h>
#include <sys/mman.h>

#include <cstddef>
#include <functional>

#include "base/check.h"

namespace keelson {

inline size_t stack_used_by(std::function<void()> body, size_t stack = size_t{256} << 20) {
  void* memory = mmap(nullptr, stack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstack(&attributes, memory, stack) == 0);
  auto run = [](void* body) -> void* {
    (*static_cast<std::function<void()>*>(body))();
    return nullptr;
  };
  pthread_t thread;
  CHECK(pthread_create(&thread, &attributes, run, &body) == 0);
  CHECK(pthread_join(thread, nullptr) == 0);
  const char* bytes = static_cast<const char*>(memory);
  size_t untouched = 0;
  while (untouched < stack && bytes[untouched] == 0) ++untouched;
  pthread_attr_destroy(&attributes);
  CHECK(munmap(memory, stack) == 0);
  return stack - untouched;
}

}  // namespace keelson
