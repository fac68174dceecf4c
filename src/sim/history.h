// sim/history.h
//
// What the members of a group have published, all together: the same changes at the same revision
// on every member and in every life, and nothing else than what clients asked for. Published is
// committed, so no crash and no change of leader may ever change it.
//
// Threads: one.

#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
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
  int64_t lease = 0;
  friend bool operator==(const Change&, const Change&) = default;
};

class History {
 public:
  struct Held {
    std::string value;
    int64_t revision = 0;  // that set it
    friend bool operator==(const Held&, const Held&) = default;
  };
  using State = std::map<std::string, Held>;
  // A revision that nobody had published before.
  using Fresh = std::function<void(int64_t revision, const std::vector<Change>&)>;

  explicit History(Verdict& verdict) : verdict_(verdict) {}
  void listen(Fresh fresh) { listeners_.push_back(std::move(fresh)); }

  void add(const mvcc::EventBatch& batch);
  // Null: nobody has published it.
  const std::vector<Change>* at(int64_t revision) const;
  State state(int64_t revision) const;
  int64_t newest() const { return kFirst + static_cast<int64_t>(changes_.size()) - 1; }

  // Somebody asked for a compaction there; it may have happened, and none beyond.
  void compaction_asked(int64_t revision) { compaction_ = std::max(compaction_, revision); }
  int64_t highest_compaction() const { return compaction_; }

 private:
  static constexpr int64_t kFirst = 2;  // the first revision that changes something
  static constexpr size_t kStride = 32;
  void add_revision(int64_t revision, std::vector<Change> changes);
  static void apply(const std::vector<Change>& changes, int64_t revision, State* state);

  Verdict& verdict_;
  std::vector<Fresh> listeners_;
  std::vector<std::vector<Change>> changes_;  // of revisions kFirst, kFirst + 1, …
  std::vector<State> states_;                 // before each kStride of them
  State newest_;
  int64_t compaction_ = 0;
};

}  // namespace keelson::sim
