#include "sim/history.h"

#include "base/check.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::sim {

void History::add(const mvcc::EventBatch& batch) {
  std::map<int64_t, std::vector<Change>> fresh;
  for (const mvcc::Event& event : batch.events) {
    mvcc::KeyValueView kv;
    CHECK(mvcc::decode_key_value(event.kv.view(), &kv));
    fresh[event.revision.main].push_back(
        {std::string(event.key), std::string(kv.value), event.type == mvcc::EventType::kDelete});
  }
  for (auto& [revision, changes] : fresh) {
    auto [at, added] = changes_.try_emplace(revision, changes);
    if (at->second != changes) {
      verdict_.violated(cat("revision ", revision, " is not the same everywhere"));
    }
    if (added && revision != static_cast<int64_t>(changes_.size()) + 1) {
      verdict_.violated(cat("revision ", revision, " was published before those ahead of it"));
    }
  }
}

const std::vector<Change>* History::at(int64_t revision) const {
  auto found = changes_.find(revision);
  return found == changes_.end() ? nullptr : &found->second;
}

History::State History::state(int64_t revision) const {
  State out;
  for (const auto& [at, changes] : changes_) {
    if (at > revision) break;
    for (const Change& change : changes) {
      if (change.deleted) {
        out.erase(change.key);
      } else {
        out[change.key] = {change.value, at};
      }
    }
  }
  return out;
}

}  // namespace keelson::sim
