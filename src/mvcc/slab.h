// mvcc/slab.h
//
// Slab hands out the small objects of the key index without the allocator's overhead per object:
// blocks of 256 KiB cut into pieces of one size, freed pieces used again by the same size.
//
// Threads: one, the writer's.
// Memory: blocks are given back only when the Slab goes.
// Sanitizer builds take every piece from malloc, so that a use after free is seen.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace keelson::mvcc {

class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab();

  void* allocate(size_t size);
  // REQUIRES: `size` as it was allocated with.
  void free(void* piece, size_t size);

  // Bytes handed out now, rounding included.
  uint64_t used() const { return used_; }

 private:
  static constexpr size_t kStep = 8;
  static constexpr size_t kLargest = 3072;
  static constexpr size_t kBlock = 256 << 10;

  struct Piece {
    Piece* next;
  };
  void* carve(size_t size);

  std::array<Piece*, kLargest / kStep + 1> free_{};
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* at_ = nullptr;
  size_t left_ = 0;
  uint64_t used_ = 0;
};

}  // namespace keelson::mvcc
