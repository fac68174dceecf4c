// lease/leased_keys.h
//
// LeasedKeys are the keys of one lease. A copy of them as of one moment (a KeyListing) costs their
// owner next to nothing, however many there are, as a LeaseListing does of the leases: both share
// the pieces that the list is made of, and a piece that a listing may look at is copied before it
// is changed. Sorting and encoding a million keys is left to whoever holds the listing.
//
// Cost: list() copies a pointer per kPiece keys; after it, the first change within a piece copies
//   that piece's pointers. A lease of few keys has one small piece. all_have() asks about each key
//   once, and then about those that have come or moved since; that of a few properties.
// Threads: LeasedKeys are the lane's. A listing is immutable; any thread may read, copy and drop
// it.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"

namespace keelson::lease {

// Counted by whoever refers to it; any thread may come and go.
template <typename T>
class Shared {
 public:
  Shared() = default;
  explicit Shared(T* fresh) : at_(fresh) {}  // the first reference is this
  Shared(const Shared& other) : at_(other.at_) {
    if (at_) at_->refs.fetch_add(1, std::memory_order_relaxed);
  }
  Shared(Shared&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(at_, other.at_);
    return *this;
  }
  ~Shared() {
    if (at_ && at_->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete at_;
  }

  T* get() const { return at_; }
  T* operator->() const { return at_; }
  T& operator*() const { return *at_; }
  // Nobody else refers to it; and nobody will, if others only copy what they have.
  bool alone() const { return at_->refs.load(std::memory_order_acquire) == 1; }

 private:
  T* at_ = nullptr;
};

// One attached key. Of it listings look at the text only, which does not change.
struct LeasedKey {
  explicit LeasedKey(std::string_view text) : key(text) {}

  std::string key;
  void* lease = nullptr;  // whose; LeaseTable's
  uint32_t slot = 0;      // its place in the LeasedKeys
  std::atomic<uint32_t> refs{1};
};

struct KeyPiece {
  static constexpr size_t kKeys = 1024;
  std::vector<Shared<LeasedKey>> keys;  // kKeys at most
  std::atomic<uint32_t> refs{1};
};

class KeyListing {
 public:
  // Of what another member told.
  static KeyListing of(const std::vector<std::string>& keys);

  size_t size() const { return size_; }
  // Calls `visit` with each key, in no particular order, while it returns true; whether it did for
  // all. Costs no copies.
  bool every(absl::FunctionRef<bool(std::string_view)> visit) const;
  // In byte order. Not for a lane, when there are many.
  std::vector<std::string> sorted() const;

 private:
  friend class LeasedKeys;
  absl::InlinedVector<Shared<KeyPiece>, 1> pieces_;
  size_t size_ = 0;
};

class LeasedKeys {
 public:
  size_t size() const { return size_; }
  LeasedKey& at(size_t slot) const {
    return *pieces_[slot / KeyPiece::kKeys]->keys[slot % KeyPiece::kKeys];
  }

  // At slot size(). Pieces copied because a listing may look at them are counted in `copies`.
  void add(Shared<LeasedKey> key, uint64_t* copies);
  // The last one takes the slot. REQUIRES: slot < size().
  Shared<LeasedKey> remove(uint32_t slot, uint64_t* copies);
  // In byte order, and none is left. What a listing may look at is copied, the rest moved.
  std::vector<std::string> take_sorted();

  KeyListing list() const;

  // Whether every key has a property that depends on its text alone. What was found is remembered
  // under `property` (not 0), which must stand for the same one always.
  bool all_have(uint64_t property, absl::FunctionRef<bool(std::string_view)> has);

 private:
  // The keys at slots below `upto` have the property, but for those at `doubtful`, of which it is
  // not known. upto <= size_.
  struct Vetted {
    uint64_t property = 0;  // 0: none
    size_t upto = 0;
    std::vector<uint32_t> doubtful;  // may be of slots that are not there any more
  };
  static constexpr size_t kRemembered = 4;

  KeyPiece& writable(size_t piece, uint64_t* copies);
  Vetted& remembered(uint64_t property);
  bool vet(Vetted& known, absl::FunctionRef<bool(std::string_view)> has) const;
  // Another key is at `slot` now, or none.
  void doubt(uint32_t slot);

  // All but the last have kKeys; the last has some.
  absl::InlinedVector<Shared<KeyPiece>, 1> pieces_;
  size_t size_ = 0;
  // Those asked about last, the last one first; null: nobody has asked.
  std::unique_ptr<std::array<Vetted, kRemembered>> vetted_;
};

}  // namespace keelson::lease
