// lease/lease_record.h
//
// A lease as bucket `lease` holds it: key = the id, 8 bytes big endian; value = leasepb.Lease.
// Source: etcd v3.7.1, server/lease/leasepb/lease.proto, server/storage/schema/lease.go.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/ids.h"

namespace keelson::lease {

struct LeaseRecord {
  LeaseId id;
  int64_t ttl_seconds = 0;
  int64_t remaining_ttl_seconds = 0;  // 0: none on record
  friend bool operator==(const LeaseRecord&, const LeaseRecord&) = default;
};

std::string encode_key(LeaseId id);
std::string encode_value(const LeaseRecord& record);
// DataLoss if the bytes are no such record, its id is not the key's, or it is nobody's.
absl::StatusOr<LeaseRecord> decode_record(std::string_view key, std::string_view value);
// Whether all of `state` are.
absl::Status check_records(const backend::Reader& state);

}  // namespace keelson::lease
