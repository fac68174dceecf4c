// wire/wal_record.h
//
// The messages inside etcd's write-ahead log: walpb.Record and what its data may be besides raft's
// own values (walpb.Snapshot, etcdserverpb.Metadata), and the frame of a .snap file. How records
// lie in a file is the log's business (docs/formats/wal.md).
//
// Byte for byte what etcd v3.5 and v3.7.1 write. Threads: pure functions.

#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/ids.h"
#include "base/protobuf.h"
#include "wire/raft_types.h"

namespace keelson::wire {

// etcd's numbers (server/storage/wal).
enum class RecordType : uint8_t { kMetadata = 1, kEntry = 2, kState = 3, kCrc = 4, kSnapshot = 5 };

struct Record {
  RecordType type = RecordType::kMetadata;
  // Of all records' data so far, this one's included; see docs/formats/wal.md.
  uint32_t crc = 0;
  bool has_data = false;
  std::string_view data;
};

// The most that a record takes besides its data: type, crc, the data's tag and length.
inline constexpr size_t kMaxRecordOverhead = 2 + 6 + 11;
// The bytes of `type` and of the crc's tag.
inline constexpr size_t kRecordCrcOffset = 3;

// Writes a record whose data is `data_size` bytes that `write_data(char*)` writes, in place.
// `chain` is the running sum: taken before, left after. Returns the place after the record.
// REQUIRES: room for kMaxRecordOverhead + data_size at `out`.
template <typename WriteData>
char* write_record(char* out, RecordType type, uint32_t* chain, size_t data_size,
                   WriteData&& write_data) {
  // The sum stands before the data, and its own length depends on its value: write the data where
  // it belongs in all but one case of sixteen, and move it then.
  const size_t tail_size = 1 + pb::varint_size(data_size);  // the data's tag and length
  char* data = out + kRecordCrcOffset + 5 + tail_size;
  write_data(data);
  *chain = crc32c::extend(*chain, {data, data_size});

  *out++ = static_cast<char>(pb::tag(1, pb::kVarint));
  *out++ = static_cast<char>(type);
  *out++ = static_cast<char>(pb::tag(2, pb::kVarint));
  out = pb::write_varint(out, *chain);
  out = pb::write_bytes_head(out, 3, data_size);
  if (out != data) std::memmove(out, data, data_size);
  return out + data_size;
}

// A record without data: the sum itself, at the head of a segment.
inline char* write_crc_record(char* out, uint32_t crc) {
  *out++ = static_cast<char>(pb::tag(1, pb::kVarint));
  *out++ = static_cast<char>(RecordType::kCrc);
  *out++ = static_cast<char>(pb::tag(2, pb::kVarint));
  return pb::write_varint(out, crc);
}

// Reads the head of a record: everything but the data itself. `head` may be cut off anywhere; when
// it suffices, the answer is the record's true size in bytes (data included) with `record` filled
// but for `data`; `data_offset` is where the data begins. Only the form etcd writes is a record:
// the three fields in order, once, in their shortest form. 0: not a record, or `head` is too short.
size_t parse_record_head(std::string_view head, Record* record, size_t* data_offset);

// The record that `bytes` is, to the last byte. InvalidArgument otherwise. `data` points into
// `bytes`. The sum is not checked here.
absl::StatusOr<Record> decode_record(std::string_view bytes);

// --- walpb.Snapshot --------------------------------------------------------------------------

// "A snapshot at this index exists." Logs of etcd before 3.5 have no membership in it.
struct WalSnapshot {
  Index index;
  Term term;
  std::optional<raft::ConfState> conf_state;
  friend bool operator==(const WalSnapshot&, const WalSnapshot&) = default;
};

Bytes encode(const WalSnapshot& snapshot);
absl::StatusOr<WalSnapshot> decode_wal_snapshot(std::string_view bytes);

// --- etcdserverpb.Metadata -------------------------------------------------------------------

// At the head of every segment: whose log this is.
struct WalMetadata {
  MemberId node_id;
  ClusterId cluster_id;
  friend bool operator==(const WalMetadata&, const WalMetadata&) = default;
};

Bytes encode(const WalMetadata& metadata);
absl::StatusOr<WalMetadata> decode_wal_metadata(std::string_view bytes);

// --- snappb.snapshot -------------------------------------------------------------------------

// The content of a .snap file around an encoded raftpb.Snapshot.
Bytes wrap_snap_file(std::string_view encoded_snapshot);
// The encoded snapshot inside, sharing `file`. DataLoss with etcd's text when it is empty or its
// sum is wrong.
absl::StatusOr<Bytes> unwrap_snap_file(const Bytes& file);

}  // namespace keelson::wire
