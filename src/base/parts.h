// base/parts.h
//
// Parts is a message as a list of shared buffers, in order, whose total length is known before a
// byte is sent. Answers are built of small fresh pieces around key-values that are already encoded.

#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace keelson {

class Parts {
 public:
  Parts() = default;
  explicit Parts(Bytes part) { add(std::move(part)); }

  void add(Bytes part) {
    if (part.empty()) return;
    size_ += part.size();
    parts_.push_back(std::move(part));
  }
  void add(Parts&& other) {
    size_ += std::exchange(other.size_, 0);
    if (parts_.empty()) {
      parts_ = std::move(other.parts_);
    } else {
      for (Bytes& part : other.parts_) parts_.push_back(std::move(part));
    }
    other.parts_.clear();
  }
  void add_copy(std::string_view bytes) { add(Bytes::copy(bytes)); }
  void reserve(size_t count) { parts_.reserve(count); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const std::vector<Bytes>& list() const { return parts_; }
  std::vector<Bytes>& list() { return parts_; }

  std::string flat() const {
    std::string out;
    out.reserve(size_);
    for (const Bytes& part : parts_) out.append(part.view());
    return out;
  }

 private:
  std::vector<Bytes> parts_;
  size_t size_ = 0;
};

}  // namespace keelson
