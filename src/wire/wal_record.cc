#include "wire/wal_record.h"

#include "base/text.h"
#include "wire/raft_codec.h"

namespace keelson::wire {

namespace {

absl::Status malformed(std::string_view what) {
  return absl::InvalidArgumentError(to_absl(cat("malformed ", what)));
}

// Takes a shortest-form varint off `in`; false when there is none.
bool take_varint(std::string_view* in, uint64_t* value) {
  *value = 0;
  for (size_t i = 0; i < in->size() && i < 10; ++i) {
    uint8_t byte = static_cast<uint8_t>((*in)[i]);
    *value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    if (i + 1 != pb::varint_size(*value)) return false;
    in->remove_prefix(i + 1);
    return true;
  }
  return false;
}

bool take_tag(std::string_view* in, uint32_t field, pb::WireType type) {
  if (in->empty() || static_cast<uint8_t>(in->front()) != pb::tag(field, type)) return false;
  in->remove_prefix(1);
  return true;
}

// A number written even when zero.
char* write_present(char* out, uint32_t field, uint64_t value) {
  return pb::write_varint(pb::write_varint(out, pb::tag(field, pb::kVarint)), value);
}
size_t present_size(uint32_t field, uint64_t value) {
  return pb::varint_size(pb::tag(field, pb::kVarint)) + pb::varint_size(value);
}

}  // namespace

size_t parse_record_head(std::string_view head, Record* record, size_t* data_offset) {
  std::string_view rest = head;
  uint64_t type = 0;
  uint64_t crc = 0;
  if (!take_tag(&rest, 1, pb::kVarint) || !take_varint(&rest, &type)) return 0;
  if (type < 1 || type > 5) return 0;
  if (!take_tag(&rest, 2, pb::kVarint) || !take_varint(&rest, &crc)) return 0;
  if (crc > UINT32_MAX) return 0;
  *record = Record{static_cast<RecordType>(type), static_cast<uint32_t>(crc), false, {}};
  *data_offset = head.size() - rest.size();
  // Only the sum's own record has no data; metadata may be absent in a log made without any.
  if (record->type == RecordType::kCrc) return *data_offset;
  if (rest.empty()) return record->type == RecordType::kMetadata ? *data_offset : 0;

  uint64_t length = 0;
  if (!take_tag(&rest, 3, pb::kBytes) || !take_varint(&rest, &length)) return 0;
  if (length > (uint64_t{1} << 56)) return 0;  // a frame cannot say more
  record->has_data = true;
  *data_offset = head.size() - rest.size();
  return *data_offset + length;
}

absl::StatusOr<Record> decode_record(std::string_view bytes) {
  Record record;
  size_t data_offset = 0;
  size_t size = parse_record_head(bytes, &record, &data_offset);
  if (size == 0 || size != bytes.size()) return malformed("walpb.Record");
  record.data = bytes.substr(data_offset);
  return record;
}

// --- walpb.Snapshot --------------------------------------------------------------------------

Bytes encode(const WalSnapshot& snapshot) {
  size_t size = present_size(1, snapshot.index.value) + present_size(2, snapshot.term.value);
  if (snapshot.conf_state) size += pb::bytes_field_size(3, wire_size(*snapshot.conf_state));
  return Bytes::build(size, [&](char* out) {
    out = write_present(out, 1, snapshot.index.value);
    out = write_present(out, 2, snapshot.term.value);
    if (!snapshot.conf_state) return;
    out = pb::write_bytes_head(out, 3, wire_size(*snapshot.conf_state));
    write(out, *snapshot.conf_state);
  });
}

absl::StatusOr<WalSnapshot> decode_wal_snapshot(std::string_view bytes) {
  WalSnapshot snapshot;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > 3) continue;
    if (field.type != (field.number == 3 ? pb::kBytes : pb::kVarint)) {
      return malformed("walpb.Snapshot");
    }
    if (field.number == 1) snapshot.index = Index(field.value);
    if (field.number == 2) snapshot.term = Term(field.value);
    if (field.number == 3) {
      absl::StatusOr<raft::ConfState> conf = decode_conf_state(field.bytes);
      if (!conf.ok()) return conf.status();
      snapshot.conf_state = *std::move(conf);
    }
  }
  if (!reader.ok()) return malformed("walpb.Snapshot");
  return snapshot;
}

// --- etcdserverpb.Metadata -------------------------------------------------------------------

Bytes encode(const WalMetadata& metadata) {
  size_t size = present_size(1, metadata.node_id.value);
  size += present_size(2, metadata.cluster_id.value);
  return Bytes::build(size, [&](char* out) {
    out = write_present(out, 1, metadata.node_id.value);
    write_present(out, 2, metadata.cluster_id.value);
  });
}

absl::StatusOr<WalMetadata> decode_wal_metadata(std::string_view bytes) {
  WalMetadata metadata;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > 2) continue;
    if (field.type != pb::kVarint) return malformed("etcdserverpb.Metadata");
    if (field.number == 1) metadata.node_id = MemberId(field.value);
    if (field.number == 2) metadata.cluster_id = ClusterId(field.value);
  }
  if (!reader.ok()) return malformed("etcdserverpb.Metadata");
  return metadata;
}

// --- snappb.snapshot -------------------------------------------------------------------------

Bytes wrap_snap_file(std::string_view encoded_snapshot) {
  const uint32_t crc = crc32c::extend(0, encoded_snapshot);
  size_t size = present_size(1, crc) + pb::bytes_field_size(2, encoded_snapshot.size());
  return Bytes::build(size, [&](char* out) {
    pb::write_bytes_field(write_present(out, 1, crc), 2, encoded_snapshot);
  });
}

absl::StatusOr<Bytes> unwrap_snap_file(const Bytes& file) {
  uint64_t crc = 0;
  std::string_view data;
  pb::LoggedReader reader(file.view());
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > 2) continue;
    if (field.type != (field.number == 2 ? pb::kBytes : pb::kVarint)) {
      return absl::DataLossError("snap: malformed snapshot file");
    }
    if (field.number == 1) crc = field.value;
    if (field.number == 2) data = field.bytes;
  }
  if (!reader.ok()) return absl::DataLossError("snap: malformed snapshot file");
  if (data.empty() || crc == 0) return absl::DataLossError("snap: empty snapshot");
  if (crc != crc32c::extend(0, data)) return absl::DataLossError("snap: crc mismatch");
  return file.slice(static_cast<size_t>(data.data() - file.data()), data.size());
}

}  // namespace keelson::wire
