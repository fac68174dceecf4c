// net/message.h
//
// MessageParts is a message on its way out: a few runs of bytes that are sent one after the other.
// The total length is known before the first byte leaves, so an answer of any size streams out of
// shared buffers (keys and values as the store holds them) without ever being one piece of memory.

#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/bytes.h"

namespace keelson::net {

class MessageParts {
 public:
  MessageParts() = default;
  // One part, implicitly: most answers are one buffer.
  MessageParts(Bytes only) { add(std::move(only)); }
  static MessageParts copy(std::string_view text) { return MessageParts(Bytes::copy(text)); }

  void add(Bytes part) {
    if (part.empty()) return;
    size_ += part.size();
    parts_.push_back(std::move(part));
  }

  // Bytes in all parts together.
  size_t size() const { return size_; }
  std::span<const Bytes> parts() const { return {parts_.data(), parts_.size()}; }
  void clear() {
    parts_.clear();
    size_ = 0;
  }
  void reserve(size_t parts) { parts_.reserve(parts); }

 private:
  absl::InlinedVector<Bytes, 2> parts_;
  size_t size_ = 0;
};

}  // namespace keelson::net
