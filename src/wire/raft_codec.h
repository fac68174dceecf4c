// wire/raft_codec.h
//
// raft's values as etcd's raftpb bytes (proto2; schema in proto/raft.proto), by hand: entries are
// the hottest thing there is, and messages carry entries whose payload must not be copied.
//
// Writing: fields in number order, as Go's marshallers have it; byte for byte what etcd v3.7.1
//   writes. A zero number or empty list is left out; entries write `Type` and `Data` as their
//   presence flags say. HardState always has all three fields (v3.5 and v3.7 do the same).
// Reading: any order, unknown fields skipped, never past the end; InvalidArgument for what is not
//   such a message. Takes what v3.4, v3.5 and v3.7 write. Payloads of decoded values share the
//   given Bytes: they keep that block alive.
// Threads: pure functions.

#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/protobuf.h"
#include "wire/raft_types.h"

namespace keelson::wire {

// --- Entry -----------------------------------------------------------------------------------

// The most that an entry takes besides its payload.
inline constexpr size_t kMaxEntryOverhead = 2 + 11 + 11 + 11;

inline size_t wire_size(const raft::Entry& entry) {
  size_t size = pb::varint_field_size(2, entry.term.value);
  size += pb::varint_field_size(3, entry.index.value);
  if (entry.type != raft::EntryType::kNormal || entry.type_set) size += 2;
  if (!entry.data.empty() || entry.data_set) size += pb::bytes_field_size(4, entry.data.size());
  return size;
}

// Writes wire_size(entry) bytes at `out`; returns the place after.
inline char* write(char* out, const raft::Entry& entry) {
  if (entry.type != raft::EntryType::kNormal || entry.type_set) {
    *out++ = static_cast<char>(pb::tag(1, pb::kVarint));
    *out++ = static_cast<char>(entry.type);
  }
  out = pb::write_varint_field(out, 2, entry.term.value);
  out = pb::write_varint_field(out, 3, entry.index.value);
  if (!entry.data.empty() || entry.data_set) {
    out = pb::write_bytes_field(out, 4, entry.data.view());
  }
  return out;
}

// `bytes` is the entry, a part of `block` (a view into it).
absl::StatusOr<raft::Entry> decode_entry(const Bytes& block, std::string_view bytes);
inline absl::StatusOr<raft::Entry> decode_entry(const Bytes& bytes) {
  return decode_entry(bytes, bytes.view());
}
Bytes encode(const raft::Entry& entry);

// --- HardState -------------------------------------------------------------------------------

inline constexpr size_t kMaxHardStateSize = 33;

size_t wire_size(const raft::HardState& state);
char* write(char* out, const raft::HardState& state);
absl::StatusOr<raft::HardState> decode_hard_state(std::string_view bytes);

// --- ConfState, Snapshot ---------------------------------------------------------------------

size_t wire_size(const raft::ConfState& conf);
char* write(char* out, const raft::ConfState& conf);
absl::StatusOr<raft::ConfState> decode_conf_state(std::string_view bytes);

size_t wire_size(const raft::Snapshot& snapshot);
char* write(char* out, const raft::Snapshot& snapshot);
Bytes encode(const raft::Snapshot& snapshot);
absl::StatusOr<raft::Snapshot> decode_snapshot(const Bytes& block, std::string_view bytes);
inline absl::StatusOr<raft::Snapshot> decode_snapshot(const Bytes& bytes) {
  return decode_snapshot(bytes, bytes.view());
}

// --- Message ---------------------------------------------------------------------------------

size_t wire_size(const raft::Message& message);
char* write(char* out, const raft::Message& message);
Bytes encode(const raft::Message& message);
// Refuses types that are not raft's and responses nested deeper than raft ever makes them.
absl::StatusOr<raft::Message> decode_message(const Bytes& bytes);

}  // namespace keelson::wire
