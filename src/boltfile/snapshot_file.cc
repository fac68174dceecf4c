#include "boltfile/snapshot_file.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"
#include "boltfile/sha256.h"

namespace keelson::boltfile {
namespace {

constexpr uint64_t kSector = 512;
constexpr size_t kPiece = 1 << 20;

// Adds a bucket's keys and values to the hash; a bucket within has no value there.
absl::Status hash_bucket(const Bucket& bucket, SnapshotStatus* status) {
  Cursor cursor(bucket);
  absl::Status s = cursor.seek_first();
  for (; s.ok() && cursor.valid(); s = cursor.next()) {
    ++status->records;
    status->hash = crc32c::extend(status->hash, cursor.key());
    if (!cursor.is_bucket()) status->hash = crc32c::extend(status->hash, cursor.value());
  }
  return s;
}

absl::Status count_keys(File& file, SnapshotStatus* status) {
  absl::StatusOr<EtcdKeys> keys = EtcdKeys::open(file);
  if (!keys.ok()) return keys.status();
  absl::flat_hash_set<std::string> live;
  absl::Status s = keys->seek({});
  for (; s.ok() && keys->valid(); s = keys->next()) {
    const EtcdRecord& record = keys->record();
    status->revision = record.revision.main;
    if (record.tombstone) {
      live.erase(to_absl(record.key));
    } else {
      live.emplace(to_absl(record.key));
    }
  }
  status->live_keys = live.size();
  return s;
}

}  // namespace

bool has_sum(const Source& source) { return source.size() % kSector == kSha256Size; }

absl::StatusOr<bool> check_sum(const Source& source) {
  if (!has_sum(source)) return false;
  const uint64_t end = source.size() - kSha256Size;
  Sha256 sum;
  std::string piece;
  for (uint64_t at = 0; at < end; at += piece.size()) {
    piece.resize(std::min<uint64_t>(kPiece, end - at));
    if (absl::Status s = source.read(at, piece.data(), piece.size()); !s.ok()) return s;
    sum.update(piece);
  }
  std::string stored(kSha256Size, '\0');
  if (absl::Status s = source.read(end, stored.data(), stored.size()); !s.ok()) return s;
  if (sum.finish() == stored) return true;
  return absl::DataLossError(
      cat("boltfile: ", source.name(), ": the SHA-256 at its end is not that of its content"));
}

absl::StatusOr<SnapshotStatus> snapshot_status(File& file) {
  SnapshotStatus status;
  status.size = file.size();
  Cursor cursor(file.root());
  absl::Status s = cursor.seek_first();
  for (; s.ok() && cursor.valid(); s = cursor.next()) {
    if (!cursor.is_bucket()) return damaged(file.meta().root, "holds a key outside of buckets");
    absl::StatusOr<Bucket> bucket = cursor.bucket();
    if (!bucket.ok()) return bucket.status();
    status.hash = crc32c::extend(status.hash, cursor.key());
    if (absl::Status h = hash_bucket(*bucket, &status); !h.ok()) return h;
  }
  if (!s.ok()) return s;
  if (s = count_keys(file, &status); !s.ok()) return s;
  absl::StatusOr<EtcdMeta> meta = read_etcd_meta(file);
  if (!meta.ok()) return meta.status();
  status.storage_version = meta->storage_version.value_or("");
  return status;
}

}  // namespace keelson::boltfile
