// mvcc/slow_store.h
//
// The obvious twin of Store for tests: a vector of all changes, searched from end to end. Its rules
// are written from etcd's (v3.7.1), not from Store's.
//
// Threads: one.

#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/errors.h"
#include "mvcc/revision_key.h"
#include "mvcc/store.h"

namespace keelson::mvcc {

struct SlowChange {
  Revision revision;
  std::string key;
  bool tombstone = false;
  std::string value;
  int64_t create = 0, version = 0, lease = 0;

  std::string encoded() const {
    if (tombstone) return encode_key_value({.key = key}).str();
    return encode_key_value({.key = key,
                             .create_revision = create,
                             .mod_revision = revision.main,
                             .version = version,
                             .value = value,
                             .lease = lease})
        .str();
  }
};

class SlowStore {
 public:
  int64_t revision = 1;
  int64_t compacted = -1;
  std::vector<SlowChange> changes;

  const SlowChange* visible(const std::string& key, int64_t at) const {
    const SlowChange* found = nullptr;
    for (const SlowChange& change : changes) {
      if (change.key == key && change.revision.main <= at) found = &change;
    }
    return found && !found->tombstone ? found : nullptr;
  }

  static bool inside(const std::string& key, std::string_view begin, std::string_view end) {
    if (end.empty()) return key == begin;
    return key >= begin && (end == std::string_view("\0", 1) || key < end);
  }

  std::vector<SlowChange> all_visible(std::string_view begin, std::string_view end,
                                      int64_t at) const {
    std::map<std::string, const SlowChange*> newest;
    for (const SlowChange& change : changes) {
      if (change.revision.main <= at && inside(change.key, begin, end)) {
        newest[change.key] = &change;
      }
    }
    std::vector<SlowChange> out;
    for (const auto& [key, change] : newest) {
      if (!change->tombstone) out.push_back(*change);
    }
    return out;
  }

  // The sequence of steps of etcd's executeRange: fetch, filter, sort, cut, strip.
  absl::StatusOr<RangeResult> range(std::string_view begin, std::string_view end,
                                    const RangeOptions& o, int64_t now) const {
    if (o.revision > now) return errors::FutureRev();
    int64_t at = o.revision <= 0 ? now : o.revision;
    if (at < compacted) return errors::Compacted();
    std::vector<SlowChange> kvs = all_visible(begin, end, at);
    RangeResult result{.revision = now, .count = static_cast<int64_t>(kvs.size())};
    if (o.count_only) return result;
    bool filters =
        o.min_mod_revision || o.max_mod_revision || o.min_create_revision || o.max_create_revision;
    bool default_order = o.sort_order == SortOrder::kNone ||
                         (o.sort_target == SortTarget::kKey && o.sort_order == SortOrder::kAscend);
    bool limited = default_order && !filters && o.limit > 0;
    if (limited && kvs.size() > static_cast<size_t>(o.limit) + 1) {
      kvs.resize(static_cast<size_t>(o.limit) + 1);
    }
    if (limited && !o.total_count) result.count = static_cast<int64_t>(kvs.size());
    std::erase_if(kvs, [&](const SlowChange& c) {
      return (o.max_mod_revision && c.revision.main > o.max_mod_revision) ||
             (o.min_mod_revision && c.revision.main < o.min_mod_revision) ||
             (o.max_create_revision && c.create > o.max_create_revision) ||
             (o.min_create_revision && c.create < o.min_create_revision);
    });
    auto less = [&](const SlowChange& a, const SlowChange& b) {
      if (o.sort_target == SortTarget::kVersion) return a.version < b.version;
      if (o.sort_target == SortTarget::kCreate) return a.create < b.create;
      if (o.sort_target == SortTarget::kMod) return a.revision.main < b.revision.main;
      if (o.sort_target == SortTarget::kValue) return a.value < b.value;
      return a.key < b.key;
    };
    if (o.sort_order == SortOrder::kDescend) {
      std::stable_sort(kvs.begin(), kvs.end(), [&](auto& a, auto& b) { return less(b, a); });
    } else if (!default_order || o.sort_target != SortTarget::kKey) {
      std::stable_sort(kvs.begin(), kvs.end(), less);
    }
    if (o.limit > 0 && kvs.size() > static_cast<size_t>(o.limit)) {
      kvs.resize(static_cast<size_t>(o.limit));
      result.more = true;
    }
    for (SlowChange& kv : kvs) {
      if (o.keys_only) kv.value.clear();
      if (o.keys_only && o.sort_target != SortTarget::kValue) kv.lease = 0;
      result.kvs.push_back(Bytes::copy(kv.encoded()));
    }
    return result;
  }

  // Per key the newest change at or below `at`; without tombstones below `at`.
  std::set<Revision> kept_by_compaction(int64_t at) const {
    std::map<std::string, const SlowChange*> newest;
    for (const SlowChange& change : changes) {
      if (change.revision.main <= at) newest[change.key] = &change;
    }
    std::set<Revision> kept;
    for (const auto& [key, change] : newest) {
      if (!change->tombstone || change->revision.main == at) kept.insert(change->revision);
    }
    return kept;
  }

  void compact(int64_t at) {
    compacted = at;
    std::set<Revision> kept = kept_by_compaction(at);
    std::erase_if(changes, [&](const SlowChange& change) {
      return change.revision.main <= at && !kept.contains(change.revision);
    });
  }

  uint32_t hash_kv(int64_t at) const {
    std::set<Revision> keep;
    for (const SlowChange& change :
         all_visible(std::string_view("\0", 1), std::string_view("\0", 1), at)) {
      keep.insert(change.revision);
    }
    uint32_t crc = crc32c::extend(0, "key");
    for (const SlowChange& change : changes) {
      int64_t main = change.revision.main;
      if (main > at) continue;
      if (main <= compacted && !keep.empty() && !keep.contains(change.revision)) continue;
      if (main == compacted && change.tombstone) continue;
      crc = crc32c::extend(crc, RevisionKey(change.revision, change.tombstone).view());
      crc = crc32c::extend(crc, change.encoded());
    }
    return crc;
  }
};

}  // namespace keelson::mvcc
