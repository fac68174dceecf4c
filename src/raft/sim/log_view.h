// raft/sim/log_view.h
//
// LogView: a member's log as its Readys tell it: term and content of every entry, stable or not,
// behind the snapshot it began with.

#pragma once

#include <cstdint>
#include <vector>

#include "raft/sim/violation.h"
#include "raft/types.h"

namespace keelson::raft::sim {

struct LogId {
  Term term;
  uint64_t content = 0;

  friend bool operator==(const LogId&, const LogId&) = default;
};

inline uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x7f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  return z ^ (z >> 27);
}

inline uint64_t content_of(const Entry& entry) {
  uint64_t hash = static_cast<uint64_t>(entry.type);
  for (char c : entry.data.view()) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix(hash, entry.data.size());
}

class LogView {
 public:
  void reset(Index base, Term base_term) {
    base_ = base;
    base_term_ = base_term;
    ids_.clear();
  }

  Index base() const { return base_; }
  Index last() const { return base_ + ids_.size(); }
  Term last_term() const { return ids_.empty() ? base_term_ : ids_.back().term; }
  // Of an entry behind the base. REQUIRES: base() < index <= last().
  const LogId& at(Index index) const { return ids_[index - base_ - 1]; }
  // REQUIRES: base() <= index <= last().
  Term term(Index index) const { return index == base_ ? base_term_ : at(index).term; }

  // Writes at `index`; what was there and behind it is gone.
  void put(Index index, LogId id) {
    if (index <= base_ || index > last() + 1) {
      violated("a log from ", base_.value, " to ", last().value, " is written at ", index.value);
    }
    ids_.resize(index - base_ - 1);
    ids_.push_back(id);
  }

 private:
  Index base_;
  Term base_term_;
  std::vector<LogId> ids_;
};

}  // namespace keelson::raft::sim
