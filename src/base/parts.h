// base/parts.h
//
// Parts is a message as a few runs of bytes that are sent one after the other. The total length is
// known before the first byte leaves, so an answer of any size streams out of shared buffers (keys
// and values as the store holds them) without ever being one piece of memory.
//
// Threads: a value.

#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/bytes.h"

namespace keelson {

class Parts {
 public:
  Parts() = default;
  // One part, implicitly: most answers are one buffer.
  Parts(Bytes only) { add(std::move(only)); }
  static Parts copy(std::string_view text) { return Parts(Bytes::copy(text)); }

  void add(Bytes part) {
    if (part.empty()) return;
    size_ += part.size();
    parts_.push_back(std::move(part));
  }
  void add(Parts&& other) {
    for (Bytes& part : other.parts_) add(std::move(part));
    other.clear();
  }

  // Bytes in all parts together.
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const Bytes> parts() const { return {parts_.data(), parts_.size()}; }
  void clear() {
    parts_.clear();
    size_ = 0;
  }
  void reserve(size_t parts) { parts_.reserve(parts); }

  // All in one piece: for tests and for what is small.
  std::string flat() const {
    std::string out;
    out.reserve(size_);
    for (const Bytes& part : parts_) out.append(part.view());
    return out;
  }

 private:
  absl::InlinedVector<Bytes, 2> parts_;
  size_t size_ = 0;
};

}  // namespace keelson
