#include "node/term_starts.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace keelson::node {

// A new leader's entries may replace a tail, and with it the terms that began there.
void TermStarts::note(std::span<const raft::Entry> entries) {
  if (entries.empty()) return;
  while (starts_.size() > 1 && starts_.back().first >= entries.front().index) starts_.pop_back();
  // Terms only rise: if the last one began no other, none in between did.
  if (entries.back().term == starts_.back().second) return;
  for (const raft::Entry& entry : entries) note(entry.index, entry.term);
  CHECK(starts_.back().second == entries.back().term);
}

void TermStarts::note(Index index, Term term) {
  CHECK(starts_.back().second <= term);
  if (term == starts_.back().second) return;
  CHECK(starts_.back().first < index);
  starts_.emplace_back(index, term);
}

void TermStarts::forget_before(Index index) {
  while (starts_.size() > 1 && starts_[1].first <= index) starts_.pop_front();
}

Term TermStarts::at(Index index) const {
  auto next = std::upper_bound(
      starts_.begin(), starts_.end(), index,
      [](Index at, const std::pair<Index, Term>& start) { return at < start.first; });
  CHECK(next != starts_.begin());
  return std::prev(next)->second;
}

}  // namespace keelson::node
