#include "mvcc/slab.h"

#include <cstdlib>
#include <new>

#include "base/check.h"

namespace keelson::mvcc {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kAlwaysMalloc = true;
#else
constexpr bool kAlwaysMalloc = false;
#endif

size_t round_up(size_t size, size_t step) { return (size + step - 1) / step * step; }

}  // namespace

Slab::~Slab() = default;

void* Slab::allocate(size_t size) {
  size = round_up(size, kStep);
  used_ += size;
  if (kAlwaysMalloc || size > kLargest) {
    void* piece = std::malloc(size);
    if (!piece) throw std::bad_alloc();
    return piece;
  }
  Piece*& head = free_[size / kStep];
  if (!head) return carve(size);
  Piece* piece = head;
  head = piece->next;
  return piece;
}

void* Slab::carve(size_t size) {
  if (left_ < size) {
    // The rest of the old block is lost to its size only; at most one piece in a hundred.
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(kBlock));
    at_ = blocks_.back().get();
    left_ = kBlock;
  }
  void* piece = at_;
  at_ += size;
  left_ -= size;
  return piece;
}

void Slab::free(void* piece, size_t size) {
  size = round_up(size, kStep);
  CHECK(used_ >= size);
  used_ -= size;
  if (kAlwaysMalloc || size > kLargest) {
    std::free(piece);
    return;
  }
  Piece*& head = free_[size / kStep];
  head = new (piece) Piece{head};
}

}  // namespace keelson::mvcc
