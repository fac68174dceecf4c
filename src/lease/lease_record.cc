#include "lease/lease_record.h"

#include "base/endian.h"
#include "base/protobuf.h"

namespace keelson::lease {

namespace {

enum : uint32_t { kId = 1, kTtl = 2, kRemainingTtl = 3 };

}  // namespace

std::string encode_key(LeaseId id) { return big64(static_cast<uint64_t>(id.value)); }

std::string encode_value(const LeaseRecord& record) {
  std::string value;
  pb::append_varint_field(value, kId, static_cast<uint64_t>(record.id.value));
  pb::append_varint_field(value, kTtl, static_cast<uint64_t>(record.ttl_seconds));
  pb::append_varint_field(value, kRemainingTtl,
                          static_cast<uint64_t>(record.remaining_ttl_seconds));
  return value;
}

absl::StatusOr<LeaseRecord> decode_record(std::string_view key, std::string_view value) {
  LeaseRecord record;
  pb::LoggedReader reader(value);
  for (pb::Field field; reader.next(&field);) {
    if (field.type != pb::kVarint) continue;  // not of ours: a newer version's
    if (field.number == kId) record.id = LeaseId(static_cast<int64_t>(field.value));
    if (field.number == kTtl) record.ttl_seconds = static_cast<int64_t>(field.value);
    if (field.number == kRemainingTtl) {
      record.remaining_ttl_seconds = static_cast<int64_t>(field.value);
    }
  }
  if (!reader.ok()) return absl::DataLossError("a lease record does not parse");
  if (encode_key(record.id) != key) {
    return absl::DataLossError("a lease record's id is not its key's");
  }
  if (record.id == LeaseId(0)) return absl::DataLossError("a lease record without an id");
  return record;
}

absl::Status check_records(const backend::Reader& state) {
  auto it = state.iterate(backend::Bucket::kLease);
  for (it->seek_to_first(); it->valid(); it->next()) {
    if (auto record = decode_record(it->key(), it->value()); !record.ok()) return record.status();
  }
  return it->status();
}

}  // namespace keelson::lease
