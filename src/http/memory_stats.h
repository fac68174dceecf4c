// http/memory_stats.h
//
// The allocator's numbers under the names that Go's runtime has for its own, which is what readers
// of /debug/vars and of the go_memstats_* metrics know. What stands for what:
// docs/operations.md, "Numbers of the process".
//
// Threads: any; not on a lane (it adds up what all threads have allocated).
// Errors: zeros where the allocator is not jemalloc, as in builds with sanitizers.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace keelson::http {

// Invariants, as in Go: heap_sys == heap_idle + heap_inuse, heap_released <= heap_idle,
// heap_alloc <= heap_inuse, sys == heap_sys + other_sys.
struct MemoryStats {
  uint64_t heap_alloc = 0;     // asked for by the program and not freed
  uint64_t heap_inuse = 0;     // pages that hold such
  uint64_t heap_sys = 0;       // address space of the heap
  uint64_t heap_idle = 0;      // of it, pages that hold nothing
  uint64_t heap_released = 0;  // of those, what the system has back
  uint64_t other_sys = 0;      // the allocator's own
  uint64_t sys = 0;
  uint64_t mallocs = 0;  // since the start
  uint64_t frees = 0;    // <= mallocs

  // By size, with all that was ever allocated; empty unless asked for.
  struct Size {
    uint64_t size = 0;
    uint64_t mallocs = 0;
    uint64_t frees = 0;
  };
  std::vector<Size> small;  // sizes strictly rising
  uint64_t total_alloc = 0;
};

MemoryStats memory_stats(bool by_size);

// The object that Go publishes as "memstats", with all its fields.
std::string memory_json(const MemoryStats& stats);

}  // namespace keelson::http
