// net/out_queue.h
//
// OutQueue is what a connection has to write: short pieces are copied together, long ones stay in
// their shared buffers, and all of it goes out in one gathered write.
//
// Threads: one. Bounds: whoever fills it looks at size() first.

#pragma once

#include <sys/uio.h>

#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace keelson::net {

class OutQueue {
 public:
  OutQueue() = default;
  ~OutQueue();
  OutQueue(const OutQueue&) = delete;
  OutQueue& operator=(const OutQueue&) = delete;

  void append(std::string_view bytes);
  // Keeps the buffer instead of copying when that is cheaper.
  void append(const Bytes& bytes, size_t offset, size_t size);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Fills `out` with the first pieces; returns how many. Valid until the next change.
  size_t gather(std::span<iovec> out) const;
  // Drops the first `n` bytes. REQUIRES: n <= size().
  void consume(size_t n);

 private:
  struct Piece {
    Bytes owner;
    const char* data;
    size_t size;
  };
  static constexpr size_t kScratch = 16 << 10;
  static constexpr size_t kShareFrom = 1024;  // copying less costs less than a piece of its own

  void new_scratch();

  std::vector<Piece> pieces_;
  size_t first_ = 0;  // pieces before it are gone
  size_t size_ = 0;
  Bytes scratch_;
  char* scratch_end_ = nullptr;  // where the next copied byte goes
  size_t scratch_left_ = 0;
};

}  // namespace keelson::net
