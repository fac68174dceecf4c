// boltfile/etcd_keys.h
//
// EtcdKeys walks the records of the key bucket, in the order of revisions, and checks each: the key
// is a revision, the value the KeyValue that etcd puts under it.
//
// Threads: as the File's. Lifetime: views until the walk moves.
// Errors: DataLoss naming the revision; those of boltfile/file.h.
// Format: docs/formats/mvcc.md.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/revision_key.h"
#include "boltfile/file.h"

namespace keelson::boltfile {

struct EtcdRecord {
  Revision revision;
  bool tombstone = false;
  // Left by a restore that raised the revision: it has no value and no key.
  bool bump = false;
  std::string_view stored_key, stored_value;  // as in the bucket
  // Of the KeyValue; a tombstone's has the key only.
  std::string_view key, value;
  int64_t create_revision = 0, version = 0;
  LeaseId lease;
};

class EtcdKeys {
 public:
  // FailedPrecondition when there is no key bucket.
  static absl::StatusOr<EtcdKeys> open(File& file);

  // To the first record at or above `from`, or this key of the bucket's.
  absl::Status seek(Revision from);
  absl::Status seek_key(std::string_view stored_key);
  // REQUIRES: valid().
  absl::Status next();
  bool valid() const { return cursor_.valid() && status_.ok(); }
  // REQUIRES: valid().
  const EtcdRecord& record() const { return record_; }

  // As Bucket::cuts().
  absl::StatusOr<std::vector<std::string>> cuts(size_t parts) const { return bucket_.cuts(parts); }

  // The last record's revision; nothing in an empty bucket. Leaves the walk invalid.
  absl::StatusOr<std::optional<Revision>> last_revision();

 private:
  explicit EtcdKeys(Bucket bucket) : bucket_(bucket), cursor_(std::move(bucket)) {}

  absl::Status read(absl::Status moved);

  Bucket bucket_;
  Cursor cursor_;
  absl::Status status_;  // of the last move
  EtcdRecord record_;
};

// The record that `key` and `value` are, or DataLoss.
absl::StatusOr<EtcdRecord> parse_etcd_record(std::string_view key, std::string_view value);

}  // namespace keelson::boltfile
