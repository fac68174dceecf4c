// base/bytes.h
//
// Bytes is an immutable, shared run of bytes: a (block, pointer, length) view that keeps its block
// alive. Copies and slices cost one atomic increment and never copy payload; this is how a request
// body, a log entry and an answer share the same memory on their way through the lanes.
//
// Threads: distinct Bytes of one block may be used from any threads. A Bytes object is a value.
// Lifetime: data() is valid as long as any Bytes of the same block lives.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace keelson {

class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes& other) : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_) block_->refs.fetch_add(1, std::memory_order_relaxed);
  }
  Bytes(Bytes&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Bytes& operator=(Bytes other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Bytes() { release(); }

  // A copy of `bytes` in a block of its own.
  static Bytes copy(std::string_view bytes);

  // A new block of `size` bytes that `fill(char*)` writes before anyone else sees it.
  template <typename Fill>
  static Bytes build(size_t size, Fill&& fill) {
    Bytes b = allocate(size);
    fill(const_cast<char*>(b.data_));
    return b;
  }

  // The part [offset, offset + size), sharing this block. REQUIRES: it lies inside.
  Bytes slice(size_t offset, size_t size) const;

  // For containers that keep millions: the reference as one pointer. give() hands it out and leaves
  // this empty; adopt() takes it back; share() makes one more reference from a pointer that stays
  // where it is. REQUIRES: a whole block, as copy() and build() make it; `size` as it was then.
  void* give() {
    data_ = nullptr;
    size_ = 0;
    return std::exchange(block_, nullptr);
  }
  static Bytes adopt(void* block, size_t size) {
    Bytes b;
    b.block_ = static_cast<Block*>(block);
    b.data_ = static_cast<const char*>(block) + sizeof(Block);
    b.size_ = size;
    return b;
  }
  static Bytes share(void* block, size_t size) {
    Bytes b = adopt(block, size);
    b.block_->refs.fetch_add(1, std::memory_order_relaxed);
    return b;
  }

  // Nobody else holds the block, for now.
  bool alone() const { return block_ && block_->refs.load(std::memory_order_relaxed) == 1; }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_, size_}; }
  operator std::string_view() const { return view(); }
  std::string str() const { return std::string(data_, size_); }

  friend bool operator==(const Bytes& a, const Bytes& b) { return a.view() == b.view(); }

 private:
  struct Block {
    std::atomic<uint32_t> refs;
  };

  static Bytes allocate(size_t size);
  static void free_block(Block* block);
  void release() {
    if (block_ && block_->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) free_block(block_);
  }

  Block* block_ = nullptr;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace keelson
