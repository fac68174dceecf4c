// lease/lease_roll.h
//
// LeaseRoll is the list of all leases with their expiries, of which a copy as of one moment (a
// LeaseListing) costs its owner next to nothing, however many there are: both share the pieces that
// the list is made of, and a piece that a listing may look at is copied before it is changed.
//
// Why so: a list made by walking over the leases holds the lane for as long as that takes, and one
// made in slices misses leases or names them twice, since every renewal moves a lease in the order
// by expiry. Sorting and encoding are left to whoever holds the listing.
// Cost: list() copies a pointer per kPiece leases; after it, the first change within a piece copies
//   that piece (16 KiB), once.
// Threads: the roll is the lane's. A listing is immutable; any thread may read, copy and drop it.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace keelson::lease {

class LeaseRoll;

class LeaseListing {
 public:
  size_t size() const { return size_; }
  // Everybody who was there, once, by expiry, then id. Sorts; not for a lane.
  std::vector<LeaseId> by_expiry() const;

 private:
  friend class LeaseRoll;
  struct Entry {
    LeaseId id;
    MonotonicTime expiry;
  };
  static constexpr size_t kPiece = 1024;
  struct Piece {
    uint64_t listings = 0;  // that were made before it: one made later may look at it
    std::array<Entry, kPiece> entries;
  };
  std::vector<std::shared_ptr<const Piece>> pieces_;  // shared with the roll and other listings
  size_t size_ = 0;
};

// Leases have places 0 … size() - 1.
class LeaseRoll {
 public:
  size_t size() const { return size_; }
  LeaseId id(size_t place) const { return entry(place).id; }
  MonotonicTime expiry(size_t place) const { return entry(place).expiry; }

  // At place size().
  void add(LeaseId id, MonotonicTime expiry);
  void set_expiry(size_t place, MonotonicTime expiry) { writable(place).expiry = expiry; }
  // The last one takes the place. REQUIRES: place < size().
  void remove(size_t place);
  void clear();

  LeaseListing list() const;
  // Pieces copied because a listing may look at them; for tests.
  uint64_t copies() const { return copies_; }

 private:
  using Entry = LeaseListing::Entry;
  using Piece = LeaseListing::Piece;
  static constexpr size_t kPiece = LeaseListing::kPiece;

  const Entry& entry(size_t place) const {
    return pieces_[place / kPiece]->entries[place % kPiece];
  }
  Entry& writable(size_t place);
  void check_sizes() const;

  // size_ <= pieces_.size() * kPiece < size_ + kPiece; piece->listings <= listings_.
  std::vector<std::shared_ptr<Piece>> pieces_;
  size_t size_ = 0;
  mutable uint64_t listings_ = 0;  // made so far
  uint64_t copies_ = 0;
};

}  // namespace keelson::lease
