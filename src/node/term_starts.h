// node/term_starts.h
//
// TermStarts knows the term of each entry since some index by where terms begin. The mark of a
// durable store needs the term at an index that the storage may have forgotten long ago.
//
// Threads: one caller at a time (the consensus lane).
// Memory: a few words for each change of the term since forget_before().

#pragma once

#include <deque>
#include <span>
#include <utility>

#include "base/ids.h"
#include "raft/types.h"

namespace keelson::node {

class TermStarts {
 public:
  TermStarts() : TermStarts(Index(), Term()) {}
  // Knows the term from `index` on.
  TermStarts(Index index, Term term) : starts_{{index, term}} {}

  // Entries without a gap between them that are in the log from now on. They take the place of
  // those from their first on.
  void note(std::span<const raft::Entry> entries);
  void note(Index index, Term term);
  // Nobody asks for what is before `index` any more.
  void forget_before(Index index);

  // What the answers of at() begin with.
  Index first() const { return starts_.front().first; }
  Term at(Index index) const;  // >= first()

 private:
  // Never empty; indexes and terms only rise.
  std::deque<std::pair<Index, Term>> starts_;
};

}  // namespace keelson::node
