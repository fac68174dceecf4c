// sim/history.h
//
// What the members of a group have published, all together: the same changes at the same revision
// on every member and in every life, and nothing else than what clients asked for. Published is
// committed, so no crash and no change of leader may ever change it.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mvcc/event.h"
#include "sim/violation.h"

namespace keelson::sim {

struct Change {
  std::string key;
  std::string value;  // "" for a deletion
  bool deleted = false;
  friend bool operator==(const Change&, const Change&) = default;
};

class History {
 public:
  // Keys with values and the revisions that set them.
  using State = std::map<std::string, std::pair<std::string, int64_t>>;

  explicit History(Verdict& verdict) : verdict_(verdict) {}

  void add(const mvcc::EventBatch& batch);
  // Null: nobody has published it.
  const std::vector<Change>* at(int64_t revision) const;
  State state(int64_t revision) const;
  int64_t newest() const { return changes_.empty() ? 1 : changes_.rbegin()->first; }

 private:
  Verdict& verdict_;
  std::map<int64_t, std::vector<Change>> changes_;
};

}  // namespace keelson::sim
