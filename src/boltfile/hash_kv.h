// boltfile/hash_kv.h
//
// HashKV over a database file: what the etcd that this file belongs to answers, and what
// `etcdutl hashkv` prints. The rule is in docs/formats/mvcc.md; mvcc/ has the same over its store.
//
// A compaction that is complete left one record of each key at or below its revision; which of them
// still counts depends on the keys that were touched above it.
//
// Threads: as the File's.
// Memory: the keys touched between the compaction and `revision`; all keys up to there when the
//   compaction is not complete; none when there never was one.

#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "boltfile/file.h"

namespace keelson::boltfile {

struct KvHash {
  uint32_t hash = 0;
  int64_t compact_revision = -1;  // -1: never compacted
  int64_t hash_revision = 0;
  int64_t current_revision = 0;
};

// At `revision`, 0: the newest. errors::Compacted(), errors::FutureRev(), or DataLoss.
absl::StatusOr<KvHash> hash_kv(File& file, int64_t revision = 0);

}  // namespace keelson::boltfile
