// sim/history.h
//
// What the members of a group have published, all together (node/test_history.h), and nothing else
// than what clients asked for: whatever does not fit ends the run.
//
// Threads: one.

#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "node/test_history.h"
#include "sim/violation.h"

namespace keelson::sim {

using node::Change;

class History : public node::PublishedHistory {
 public:
  explicit History(Verdict& verdict) : verdict_(verdict) {}

  void add(const mvcc::EventBatch& batch) {
    std::string wrong = PublishedHistory::add(batch);
    if (!wrong.empty()) verdict_.violated(std::move(wrong));
  }

  // Somebody asked for a compaction there; it may have happened, and none beyond.
  void compaction_asked(int64_t revision) { compaction_ = std::max(compaction_, revision); }
  int64_t highest_compaction() const { return compaction_; }

 private:
  Verdict& verdict_;
  int64_t compaction_ = 0;
};

}  // namespace keelson::sim
