#include "lease/lease_roll.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keelson::lease {

std::vector<LeaseId> LeaseListing::by_expiry() const {
  std::vector<std::pair<MonotonicTime, LeaseId>> order;
  order.reserve(size_);
  for (size_t place = 0; place < size_; ++place) {
    const Entry& entry = pieces_[place / kPiece]->entries[place % kPiece];
    order.emplace_back(entry.expiry, entry.id);
  }
  std::sort(order.begin(), order.end());
  std::vector<LeaseId> ids;
  ids.reserve(size_);
  for (const auto& [expiry, id] : order) ids.push_back(id);
  return ids;
}

LeaseRoll::Entry& LeaseRoll::writable(size_t place) {
  CHECK(place / kPiece < pieces_.size());
  std::shared_ptr<Piece>& piece = pieces_[place / kPiece];
  if (piece->listings != listings_) {
    piece = std::make_shared<Piece>(*piece);
    piece->listings = listings_;
    ++copies_;
  }
  CHECK(piece->listings <= listings_);
  return piece->entries[place % kPiece];
}

void LeaseRoll::add(LeaseId id, MonotonicTime expiry) {
  if (size_ == pieces_.size() * kPiece) {
    pieces_.push_back(std::make_shared<Piece>());
    pieces_.back()->listings = listings_;
  }
  writable(size_) = {id, expiry};
  ++size_;
  check_sizes();
}

void LeaseRoll::remove(size_t place) {
  CHECK(place < size_);
  --size_;
  // By value: the piece that it lies in may be copied, and go, on the way to the place.
  const Entry last = entry(size_);
  if (place != size_) writable(place) = last;
  if (size_ % kPiece == 0) pieces_.pop_back();
  check_sizes();
}

void LeaseRoll::check_sizes() const {
  CHECK(size_ <= pieces_.size() * kPiece);
  CHECK(pieces_.size() * kPiece < size_ + kPiece);
}

void LeaseRoll::clear() {
  pieces_.clear();
  size_ = 0;
}

LeaseListing LeaseRoll::list() const {
  LeaseListing listing;
  listing.pieces_.assign(pieces_.begin(), pieces_.end());
  listing.size_ = size_;
  ++listings_;
  return listing;
}

}  // namespace keelson::lease
