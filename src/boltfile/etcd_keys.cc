#include "boltfile/etcd_keys.h"

#include "base/check.h"
#include "base/protobuf.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

absl::Status bad(const EtcdRecord& record, std::string_view what) {
  return absl::DataLossError(cat("boltfile: bucket key, revision ", record.revision.main, "/",
                                 record.revision.sub, ": ", what));
}

}  // namespace

absl::StatusOr<EtcdRecord> parse_etcd_record(std::string_view key, std::string_view value) {
  EtcdRecord record{.stored_key = key, .stored_value = value};
  ParsedRevision at;
  // No transaction has four billion changes.
  if (!parse_revision_key(key, &at) || at.revision.sub > UINT32_MAX) {
    return absl::DataLossError("boltfile: bucket key: a record's key is not a revision");
  }
  record.revision = at.revision;
  record.tombstone = at.tombstone;
  record.bump = value.empty() && !at.tombstone;
  if (record.bump) return record;
  int64_t mod_revision = 0;
  pb::LoggedReader reader(value);
  for (pb::Field field; reader.next(&field);) {
    const auto number = static_cast<int64_t>(field.value);
    if (field.is(1, pb::kBytes)) record.key = field.bytes;
    if (field.is(2, pb::kVarint)) record.create_revision = number;
    if (field.is(3, pb::kVarint)) mod_revision = number;
    if (field.is(4, pb::kVarint)) record.version = number;
    if (field.is(5, pb::kBytes)) record.value = field.bytes;
    if (field.is(6, pb::kVarint)) record.lease = LeaseId(number);
  }
  if (!reader.ok()) return bad(record, "does not parse");
  if (record.key.empty()) return bad(record, "has no key");
  if (record.tombstone) return record;
  if (mod_revision != record.revision.main) {
    return bad(record, cat("holds a key modified at ", mod_revision));
  }
  if (record.create_revision < 1 || record.create_revision > mod_revision) {
    return bad(record, cat("holds a key created at ", record.create_revision));
  }
  if (record.version < 1) return bad(record, cat("holds version ", record.version));
  return record;
}

absl::StatusOr<EtcdKeys> EtcdKeys::open(File& file) {
  absl::StatusOr<Bucket> bucket = file.root().bucket("key");
  if (absl::IsNotFound(bucket.status())) {
    return absl::FailedPreconditionError(
        cat("boltfile: ", file.source().name(), " has no bucket \"key\": not etcd's"));
  }
  if (!bucket.ok()) return bucket.status();
  return EtcdKeys(std::move(*bucket));
}

absl::Status EtcdKeys::read(absl::Status moved) {
  status_ = std::move(moved);
  if (!status_.ok() || !cursor_.valid()) return status_;
  if (cursor_.is_bucket()) {
    return status_ = absl::DataLossError("boltfile: bucket key: holds a bucket");
  }
  absl::StatusOr<EtcdRecord> record = parse_etcd_record(cursor_.key(), cursor_.value());
  if (!record.ok()) return status_ = record.status();
  record_ = *record;
  return status_;
}

absl::Status EtcdKeys::seek(Revision from) { return seek_key(RevisionKey(from).view()); }

absl::Status EtcdKeys::seek_key(std::string_view stored_key) {
  return read(cursor_.seek(stored_key));
}

absl::Status EtcdKeys::next() {
  CHECK(valid());
  return read(cursor_.next());
}

absl::StatusOr<std::optional<Revision>> EtcdKeys::last_revision() {
  std::optional<Revision> last;
  absl::Status s = read(cursor_.seek_last());
  if (!s.ok()) return s;
  if (valid()) last = record_.revision;
  status_ = absl::CancelledError("boltfile: not at a record");
  return last;
}

}  // namespace keelson::boltfile
