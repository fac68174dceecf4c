#include "net/out_queue.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "net/pools.h"

namespace keelson::net {
namespace {

// A queue that has been written out gives its block back for the next connection of this thread, so
// idle connections hold none.
thread_local Bytes spare_scratch;

}  // namespace

OutQueue::~OutQueue() = default;

void OutQueue::new_scratch() {
  scratch_ =
      spare_scratch.empty() ? Bytes::build(kScratch, [](char*) {}) : std::move(spare_scratch);
  spare_scratch = Bytes();
  scratch_end_ = const_cast<char*>(scratch_.data());
  scratch_left_ = kScratch;
}

void OutQueue::append(std::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (scratch_left_ == 0) new_scratch();
    size_t n = std::min(bytes.size(), scratch_left_);
    std::memcpy(scratch_end_, bytes.data(), n);
    if (first_ < pieces_.size() && pieces_.back().data + pieces_.back().size == scratch_end_) {
      pieces_.back().size += n;
    } else {
      pieces_.push_back({scratch_, scratch_end_, n});
    }
    scratch_end_ += n;
    scratch_left_ -= n;
    bytes.remove_prefix(n);
  }
}

void OutQueue::append(const Bytes& bytes, size_t offset, size_t size) {
  CHECK(offset + size <= bytes.size());
  if (size < kShareFrom) return append(bytes.view().substr(offset, size));
  size_ += size;
  pieces_.push_back({bytes, bytes.data() + offset, size});
}

size_t OutQueue::gather(std::span<iovec> out) const {
  size_t n = std::min(out.size(), pieces_.size() - first_);
  for (size_t i = 0; i < n; ++i) {
    const Piece& piece = pieces_[first_ + i];
    out[i] = {const_cast<char*>(piece.data), piece.size};
  }
  return n;
}

void OutQueue::consume(size_t n) {
  CHECK(n <= size_);
  size_ -= n;
  while (n > 0) {
    Piece& piece = pieces_[first_];
    if (n < piece.size) {
      piece.data += n;
      piece.size -= n;
      break;
    }
    n -= piece.size;
    piece.owner = Bytes();
    ++first_;
  }
  if (size_ == 0) {
    pieces_.clear();
    first_ = 0;
    if (scratch_left_ > 0 || scratch_end_) {
      if (pools_keep()) spare_scratch = std::move(scratch_);
      scratch_ = Bytes();
      scratch_end_ = nullptr;
      scratch_left_ = 0;
    }
  } else if (first_ > 64 && first_ * 2 > pieces_.size()) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
}

}  // namespace keelson::net
