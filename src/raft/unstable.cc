#include "raft/unstable.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keelson::raft {

std::optional<Term> Unstable::term(Index index) const {
  if (index >= offset_) {
    if (index > last_index()) return std::nullopt;
    return entries_[index - offset_].term;
  }
  if (snapshot_ && snapshot_->metadata.index == index) return snapshot_->metadata.term;
  return std::nullopt;
}

Entries Unstable::next_entries() const {
  if (!has_next_entries()) return {};
  return slice(in_progress_, last_index() + 1);
}

Entries Unstable::slice(Index lo, Index hi) const {
  CHECK(offset_ <= lo);
  CHECK(lo <= hi);
  return entries_.slice(lo - offset_, hi - lo);
}

std::span<const Entry> Unstable::view(Index lo, Index hi) const {
  CHECK(offset_ <= lo);
  CHECK(lo <= hi);
  return entries_.view().subspan(lo - offset_, hi - lo);
}

void Unstable::accept_in_progress() {
  if (!entries_.empty()) in_progress_ = last_index() + 1;
  if (snapshot_) snapshot_in_progress_ = true;
}

void Unstable::stable_to(EntryId id) {
  const std::optional<Term> ours = term(id.index);
  if (!ours) {
    lines_.info("entry at index ", id.index, " missing from unstable log; ignoring");
    return;
  }
  if (id.index < offset_) {
    lines_.info("entry at index ", id.index, " matched unstable snapshot; ignoring");
    return;
  }
  if (*ours != id.term) {
    lines_.info("entry at (index,term)=(", id.index, ",", id.term, ") mismatched with entry at (",
                id.index, ",", *ours, ") in unstable log; ignoring");
    return;
  }
  entries_.drop_front(id.index + 1 - offset_);
  offset_ = id.index + 1;
  in_progress_ = std::max(in_progress_, offset_);
}

void Unstable::stable_snapshot_to(Index index) {
  if (!snapshot_ || snapshot_->metadata.index != index) return;
  snapshot_ = nullptr;
  snapshot_in_progress_ = false;
}

void Unstable::restore(SnapshotPtr snapshot) {
  offset_ = snapshot->metadata.index + 1;
  in_progress_ = offset_;
  entries_.clear();
  snapshot_ = std::move(snapshot);
  snapshot_in_progress_ = false;
}

void Unstable::truncate_and_append(std::span<const Entry> entries) {
  CHECK(!entries.empty());
  const Index from = entries.front().index;
  CHECK(from <= last_index() + 1);
  if (from <= last_index()) truncate(from);
  entries_.append(entries);
}

void Unstable::truncate(Index from) {
  if (from <= offset_) {
    // Storage holds entries from here on that are now void; the next write replaces them.
    lines_.info("replace the unstable entries from index ", from);
    entries_.clear();
    offset_ = from;
    in_progress_ = from;
    return;
  }
  lines_.info("truncate the unstable entries before index ", from);
  entries_.truncate(from - offset_);
  in_progress_ = std::min(in_progress_, from);
}

void Unstable::check_invariants() const {
  CHECK(offset_ <= in_progress_);
  CHECK(in_progress_ <= last_index() + 1);
  if (snapshot_in_progress_) CHECK(snapshot_ != nullptr);
  if (snapshot_) CHECK(snapshot_->metadata.index < offset_);
  Index expected = offset_;
  Term term;
  for (const Entry& entry : entries_.view()) {
    CHECK(entry.index == expected);
    CHECK(term <= entry.term);
    term = entry.term;
    ++expected;
  }
}

}  // namespace keelson::raft
