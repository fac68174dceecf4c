#include "sim/history.h"

#include "base/check.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::sim {

void History::add(const mvcc::EventBatch& batch) {
  std::vector<Change> changes;
  for (size_t i = 0; i < batch.events.size(); ++i) {
    const mvcc::Event& event = batch.events[i];
    mvcc::KeyValueView kv;
    CHECK(mvcc::decode_key_value(event.kv.view(), &kv));
    changes.push_back({std::string(event.key), std::string(kv.value),
                       event.type == mvcc::EventType::kDelete, kv.lease});
    const int64_t revision = event.revision.main;
    const bool last = i + 1 == batch.events.size();
    if (last || batch.events[i + 1].revision.main != revision) {
      add_revision(revision, std::exchange(changes, {}));
    }
  }
}

void History::add_revision(int64_t revision, std::vector<Change> changes) {
  if (revision > newest() + 1) {
    return verdict_.violated(cat("revision ", revision, " was published before those ahead of it"));
  }
  if (revision <= newest()) {
    if (*at(revision) == changes) return;
    return verdict_.violated(cat("revision ", revision, " is not the same everywhere"));
  }
  if (changes_.size() % kStride == 0) states_.push_back(newest_);
  apply(changes, revision, &newest_);
  changes_.push_back(std::move(changes));
  for (const Fresh& listener : listeners_) listener(revision, changes_.back());
}

void History::apply(const std::vector<Change>& changes, int64_t revision, State* state) {
  for (const Change& change : changes) {
    if (change.deleted) {
      state->erase(change.key);
    } else {
      (*state)[change.key] = {change.value, revision};
    }
  }
}

const std::vector<Change>* History::at(int64_t revision) const {
  if (revision < kFirst || revision > newest()) return nullptr;
  return &changes_[static_cast<size_t>(revision - kFirst)];
}

History::State History::state(int64_t revision) const {
  if (revision < kFirst) return {};
  if (revision >= newest()) return newest_;
  const size_t end = static_cast<size_t>(revision - kFirst) + 1;
  size_t i = (end - 1) / kStride * kStride;
  State out = states_[i / kStride];
  for (; i < end; ++i) apply(changes_[i], kFirst + static_cast<int64_t>(i), &out);
  return out;
}

}  // namespace keelson::sim
