#include "boltfile/hash_kv.h"

#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"

namespace keelson::boltfile {
namespace {

class Hasher {
 public:
  Hasher(EtcdKeys keys, int64_t compacted, bool complete, int64_t revision)
      : keys_(std::move(keys)), compacted_(compacted), complete_(complete), revision_(revision) {}

  absl::StatusOr<uint32_t> run() {
    if (compacted_ >= 0) {
      if (absl::Status s = note_touched(); !s.ok()) return s;
      if (absl::Status s = look_for_live(); !s.ok()) return s;
    }
    uint32_t crc = crc32c::extend(0, "key");
    absl::Status s = walk(0, [&](const EtcdRecord& record) {
      if (!counts(record)) return true;
      crc = crc32c::extend(crc, record.stored_key);
      crc = crc32c::extend(crc, record.stored_value);
      return true;
    });
    if (!s.ok()) return s;
    return crc;
  }

 private:
  // What is known of a key: its newest records up to the revision, and up to the compaction.
  struct Newest {
    Revision at;
    bool tombstone = false;
    Revision base;  // main 0: none that is alive
  };

  // Calls use(record) from revision `from` up to the one of the hash, as long as it says true.
  template <typename Use>
  absl::Status walk(int64_t from, Use&& use) {
    absl::Status s = keys_.seek({from, 0});
    for (; s.ok() && keys_.valid(); s = keys_.next()) {
      if (keys_.record().revision.main > revision_ || !use(keys_.record())) break;
    }
    return s;
  }

  absl::Status note_touched() {
    return walk(complete_ ? compacted_ + 1 : 0, [&](const EtcdRecord& record) {
      Newest& newest = touched_[to_absl(record.key)];
      newest.at = record.revision;
      newest.tombstone = record.tombstone;
      if (record.revision.main <= compacted_) {
        newest.base = record.tombstone ? Revision() : record.revision;
      }
      return true;
    });
  }

  // Whether any key is alive at the revision.
  absl::Status look_for_live() {
    for (const auto& [key, newest] : touched_) live_ = live_ || !newest.tombstone;
    if (live_) return absl::OkStatus();
    return walk(0, [&](const EtcdRecord& record) {
      if (record.revision.main > compacted_) return false;
      live_ = !record.tombstone && !touched_.contains(to_absl(record.key));
      return !live_;
    });
  }

  bool counts(const EtcdRecord& record) const {
    if (record.revision.main > compacted_) return true;
    if (record.revision.main == compacted_ && record.tombstone) return false;
    if (!live_ && complete_) return true;
    auto it = touched_.find(to_absl(record.key));
    if (it == touched_.end()) return complete_ && !record.tombstone;
    if (live_) return it->second.at == record.revision && !record.tombstone;
    return it->second.base == record.revision;
  }

  EtcdKeys keys_;
  const int64_t compacted_;
  const bool complete_;
  const int64_t revision_;
  absl::flat_hash_map<std::string, Newest> touched_;
  bool live_ = false;
};

}  // namespace

absl::StatusOr<KvHash> hash_kv(File& file, int64_t revision) {
  absl::StatusOr<EtcdMeta> meta = read_etcd_meta(file);
  if (!meta.ok()) return meta.status();
  absl::StatusOr<EtcdKeys> keys = EtcdKeys::open(file);
  if (!keys.ok()) return keys.status();
  absl::StatusOr<std::optional<Revision>> last = keys->last_revision();
  if (!last.ok()) return last.status();
  KvHash result;
  result.compact_revision = meta->compact_revision();
  // A store begins at revision 1; a compaction may have removed its last record.
  result.current_revision =
      std::max({int64_t{1}, result.compact_revision, last->value_or(Revision()).main});
  result.hash_revision = revision == 0 ? result.current_revision : revision;
  if (revision > 0 && revision < result.compact_revision) return errors::Compacted();
  if (revision > result.current_revision) return errors::FutureRev();
  absl::StatusOr<uint32_t> hash = Hasher(std::move(*keys), result.compact_revision,
                                         meta->compaction_complete(), result.hash_revision)
                                      .run();
  if (!hash.ok()) return hash.status();
  result.hash = *hash;
  return result;
}

}  // namespace keelson::boltfile
