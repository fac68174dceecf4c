#include "base/bytes.h"

#include <cstdlib>
#include <new>

#include "base/check.h"

namespace keelson {

Bytes Bytes::allocate(size_t size) {
  Bytes b;
  void* memory = std::malloc(sizeof(Block) + size);
  if (!memory) throw std::bad_alloc();
  b.block_ = new (memory) Block{1};
  b.data_ = static_cast<char*>(memory) + sizeof(Block);
  b.size_ = size;
  return b;
}

void Bytes::free_block(Block* block) {
  block->~Block();
  std::free(block);
}

Bytes Bytes::copy(std::string_view bytes) {
  if (bytes.empty()) return Bytes();
  return build(bytes.size(), [&](char* out) { std::memcpy(out, bytes.data(), bytes.size()); });
}

Bytes Bytes::slice(size_t offset, size_t size) const {
  CHECK(offset <= size_);
  CHECK(size <= size_ - offset);
  Bytes b = *this;
  b.data_ += offset;
  b.size_ = size;
  return b;
}

}  // namespace keelson
