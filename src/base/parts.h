// base/parts.h
//
// Parts is a message as a few runs of bytes that are sent one after the other. The total length is
// known before the first byte leaves, so an answer of any size streams out of shared buffers (keys
// and values as the store holds them) without ever being one piece of memory. Parts whose bytes are
// not in memory are made when their turn to be sent has come; their lengths are known before.
//
// Threads: a value.

#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/check.h"

namespace keelson {

// Makes parts of a message late.
class PartMaker {
 public:
  virtual ~PartMaker() = default;
  // Makes part `number`, of the size that was promised; each is asked for once, one at a time.
  // `done` is called once, on any thread, perhaps from inside, and keeps the maker alive till then.
  virtual void make(size_t number, absl::AnyInvocable<void(absl::StatusOr<Bytes>)> done) = 0;
};

class Parts {
 public:
  // A part that is not made yet.
  struct Late {
    size_t part;    // its place in parts(), empty until then
    size_t offset;  // where it begins in the message
    size_t size;
    std::shared_ptr<PartMaker> maker;  // shared with the other parts that it makes
    size_t number;
  };

  Parts() = default;
  // One part, implicitly: most answers are one buffer.
  Parts(Bytes only) { add(std::move(only)); }
  static Parts copy(std::string_view text) { return Parts(Bytes::copy(text)); }

  void add(Bytes part) {
    own_ += part.size();
    put(std::move(part));
  }
  // One that is held by somebody else as well, so that the message costs no memory for it.
  void add_shared(Bytes part) {
    shared_ += part.size();
    put(std::move(part));
  }
  void add(Parts&& other) {
    for (Late& late : other.late_) {
      late_.push_back(std::move(late));
      late_.back().part += parts_.size();
      late_.back().offset += size_;
    }
    size_ += other.size_;
    own_ += other.own_;
    shared_ += other.shared_;
    for (Bytes& part : other.parts_) parts_.push_back(std::move(part));
    other.clear();
  }
  // REQUIRES: size > 0. What the maker holds is told with holds().
  void add_late(size_t size, std::shared_ptr<PartMaker> maker, size_t number) {
    late_.push_back({parts_.size(), size_, size, std::move(maker), number});
    parts_.emplace_back();
    size_ += size;
  }

  // What is held for the message beside its parts, own and shared.
  void holds(size_t own, size_t shared) {
    own_ += own;
    shared_ += shared;
  }

  // The first part that is not made yet; null: all are.
  const Late* first_late() const {
    return next_late_ < late_.size() ? &late_[next_late_] : nullptr;
  }
  // Puts it in its place. REQUIRES: first_late()->size bytes.
  void made(Bytes bytes) {
    CHECK(next_late_ < late_.size());
    Late& late = late_[next_late_++];
    CHECK(bytes.size() == late.size);
    parts_[late.part] = std::move(bytes);
    late.maker.reset();
  }
  // Lets go of a part that nobody needs any more; size() and the places of the others stay.
  void release(size_t part) { parts_[part] = Bytes(); }

  // Bytes in all parts together.
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Bytes that are in memory for this message alone, and those that others hold too.
  size_t own() const { return own_; }
  size_t shared() const { return shared_; }
  std::span<const Bytes> parts() const { return {parts_.data(), parts_.size()}; }
  void clear() {
    parts_.clear();
    late_.clear();
    next_late_ = 0;
    size_ = own_ = shared_ = 0;
  }
  void reserve(size_t parts) { parts_.reserve(parts); }

  // All in one piece: for tests and for what is small. REQUIRES: all parts are made.
  std::string flat() const {
    CHECK(first_late() == nullptr);
    std::string out;
    out.reserve(size_);
    for (const Bytes& part : parts_) out.append(part.view());
    return out;
  }

 private:
  void put(Bytes part) {
    if (part.empty()) return;
    size_ += part.size();
    parts_.push_back(std::move(part));
  }

  absl::InlinedVector<Bytes, 2> parts_;
  std::vector<Late> late_;  // in order; those before next_late_ are made
  size_t next_late_ = 0;
  size_t size_ = 0;
  size_t own_ = 0;
  size_t shared_ = 0;
};

}  // namespace keelson
