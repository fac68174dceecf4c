// node/test_history.h
//
// What members have published, all together: the same changes at the same revision on every member
// and in every life. Published is committed, so no crash and no change of leader may ever change
// it.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "mvcc/event.h"
#include "mvcc/store.h"

namespace keelson::node {

struct Change {
  std::string key;
  std::string value;  // "" for a deletion
  bool deleted = false;
  int64_t lease = 0;
  friend bool operator==(const Change&, const Change&) = default;
};

class PublishedHistory {
 public:
  struct Held {
    std::string value;
    int64_t revision = 0;  // that set it
    friend bool operator==(const Held&, const Held&) = default;
  };
  using State = std::map<std::string, Held>;
  // A revision that nobody had published before.
  using Fresh = std::function<void(int64_t revision, const std::vector<Change>&)>;

  void listen(Fresh fresh) { listeners_.push_back(std::move(fresh)); }

  // What is wrong with the first that does not fit; "" when all of it does.
  [[nodiscard]] std::string add(const mvcc::EventBatch& batch) {
    std::vector<Change> changes;
    for (size_t i = 0; i < batch.events.size(); ++i) {
      const mvcc::Event& event = batch.events[i];
      mvcc::KeyValueView kv;
      CHECK(mvcc::decode_key_value(event.kv.view(), &kv));
      changes.push_back({std::string(event.key), std::string(kv.value),
                         event.type == mvcc::EventType::kDelete, kv.lease});
      const int64_t revision = event.revision.main;
      const bool last = i + 1 == batch.events.size();
      if (!last && batch.events[i + 1].revision.main == revision) continue;
      std::string wrong = add_revision(revision, std::exchange(changes, {}));
      if (!wrong.empty()) return wrong;
    }
    return {};
  }

  // Null: nobody has published it.
  const std::vector<Change>* at(int64_t revision) const {
    if (revision < kFirst || revision > newest()) return nullptr;
    return &changes_[static_cast<size_t>(revision - kFirst)];
  }

  State state(int64_t revision) const {
    if (revision < kFirst) return {};
    if (revision >= newest()) return newest_;
    const size_t end = static_cast<size_t>(revision - kFirst) + 1;
    size_t i = (end - 1) / kStride * kStride;
    State out = states_[i / kStride];
    for (; i < end; ++i) apply(changes_[i], kFirst + static_cast<int64_t>(i), &out);
    return out;
  }

  int64_t newest() const { return kFirst + static_cast<int64_t>(changes_.size()) - 1; }

 private:
  static constexpr int64_t kFirst = 2;  // the first revision that changes something
  static constexpr size_t kStride = 32;

  std::string add_revision(int64_t revision, std::vector<Change> changes) {
    if (revision > newest() + 1) {
      return cat("revision ", revision, " was published before those ahead of it");
    }
    if (revision <= newest()) {
      if (*at(revision) == changes) return {};
      return cat("revision ", revision, " is not the same everywhere");
    }
    if (changes_.size() % kStride == 0) states_.push_back(newest_);
    apply(changes, revision, &newest_);
    changes_.push_back(std::move(changes));
    for (const Fresh& listener : listeners_) listener(revision, changes_.back());
    return {};
  }

  static void apply(const std::vector<Change>& changes, int64_t revision, State* state) {
    for (const Change& change : changes) {
      if (change.deleted) {
        state->erase(change.key);
      } else {
        (*state)[change.key] = {change.value, revision};
      }
    }
  }

  std::vector<Fresh> listeners_;
  std::vector<std::vector<Change>> changes_;  // of revisions kFirst, kFirst + 1, …
  std::vector<State> states_;                 // before each kStride of them
  State newest_;
};

}  // namespace keelson::node
