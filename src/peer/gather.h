// peer/gather.h
//
// Gather collects exactly so many bytes out of pieces as a socket brings them.
//
// Memory: what has arrived, not what was announced: a length is only a claim. A run that lies whole
//   in one piece is not copied.
// Threads: one caller at a time.

#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"

namespace keelson::peer {

class Gather {
 public:
  // Begins a run of `size` bytes. REQUIRES: no run is under way.
  void expect(size_t size) {
    CHECK(held_.empty());
    size_ = size;
  }

  // Takes from the front of `*in`, never more than the run wants. The run, once it is whole: it
  // lies in the piece given or here, until release().
  // REQUIRES: expect() before, and nothing returned since.
  std::optional<std::string_view> take(std::string_view* in) {
    CHECK(!returned_);
    const size_t want = size_ - held_.size();
    const std::string_view part = in->substr(0, want);
    in->remove_prefix(part.size());
    if (held_.empty() && part.size() == size_) return part;
    if (held_.empty()) held_.reserve(std::min(size_, kKept));
    held_.append(part);
    CHECK(held_.size() <= size_);
    if (held_.size() < size_) return std::nullopt;
    returned_ = true;
    size_ = 0;
    return std::string_view(held_);
  }

  // Ends the life of what take() returned, before the next expect().
  void release() {
    held_.clear();
    if (held_.capacity() > kKept) std::string().swap(held_);
    returned_ = false;
  }

  // No byte of the run under way has come.
  bool untouched() const { return held_.empty() || returned_; }

 private:
  // A buffer up to this size is kept for the next run.
  static constexpr size_t kKept = 1 << 20;

  size_t size_ = 0;
  std::string held_;       // held_.size() <= size_ until the run is whole
  bool returned_ = false;  // held_ is a whole run that the caller has seen
};

}  // namespace keelson::peer
