#include "wire/raft_codec.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"

namespace keelson::wire {

namespace {

// Fields of raftpb.Message.
enum MessageField : uint32_t {
  kType = 1,
  kTo = 2,
  kFrom = 3,
  kTerm = 4,
  kLogTerm = 5,
  kIndex = 6,
  kEntries = 7,
  kCommit = 8,
  kSnapshot = 9,
  kReject = 10,
  kRejectHint = 11,
  kContext = 12,
  kVote = 13,
  kResponses = 14,
};

// Responses do not hold responses: raft makes one level.
constexpr int kMaxResponseDepth = 2;

absl::Status malformed(std::string_view what) {
  return absl::InvalidArgumentError(to_absl(cat("malformed raftpb.", what)));
}

// The part of `block` that `part` views.
Bytes share(const Bytes& block, std::string_view part) {
  if (part.empty()) return Bytes();
  return block.slice(static_cast<size_t>(part.data() - block.data()), part.size());
}

// A varint field that is written even when zero.
size_t present_size(uint32_t field, uint64_t value) {
  return pb::varint_size(pb::tag(field, pb::kVarint)) + pb::varint_size(value);
}
char* write_present(char* out, uint32_t field, uint64_t value) {
  return pb::write_varint(pb::write_varint(out, pb::tag(field, pb::kVarint)), value);
}

template <typename Message>
Bytes encode_whole(const Message& message) {
  return Bytes::build(wire_size(message), [&](char* out) { write(out, message); });
}

}  // namespace

// --- Entry -----------------------------------------------------------------------------------

Bytes encode(const raft::Entry& entry) { return encode_whole(entry); }

absl::StatusOr<raft::Entry> decode_entry(const Bytes& block, std::string_view bytes) {
  raft::Entry entry;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number == 0 || field.number > 4) continue;
    if (field.type != (field.number == 4 ? pb::kBytes : pb::kVarint)) return malformed("Entry");
    switch (field.number) {
      case 1:
        if (field.value > 2) return malformed("Entry: unknown type");
        entry.type = static_cast<raft::EntryType>(field.value);
        entry.type_set = true;
        break;
      case 2:
        entry.term = Term(field.value);
        break;
      case 3:
        entry.index = Index(field.value);
        break;
      case 4:
        entry.data = share(block, field.bytes);
        entry.data_set = true;
        break;
    }
  }
  if (!reader.ok()) return malformed("Entry");
  return entry;
}

// --- HardState -------------------------------------------------------------------------------

size_t wire_size(const raft::HardState& state) {
  return present_size(1, state.term.value) + present_size(2, state.vote.value) +
         present_size(3, state.commit.value);
}

char* write(char* out, const raft::HardState& state) {
  out = write_present(out, 1, state.term.value);
  out = write_present(out, 2, state.vote.value);
  return write_present(out, 3, state.commit.value);
}

absl::StatusOr<raft::HardState> decode_hard_state(std::string_view bytes) {
  raft::HardState state;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > 3) continue;
    if (field.type != pb::kVarint) return malformed("HardState");
    if (field.number == 1) state.term = Term(field.value);
    if (field.number == 2) state.vote = MemberId(field.value);
    if (field.number == 3) state.commit = Index(field.value);
  }
  if (!reader.ok()) return malformed("HardState");
  return state;
}

// --- ConfState -------------------------------------------------------------------------------

namespace {

size_t members_size(uint32_t field, const std::vector<MemberId>& members) {
  size_t size = 0;
  for (MemberId member : members) size += present_size(field, member.value);
  return size;
}

char* write_members(char* out, uint32_t field, const std::vector<MemberId>& members) {
  for (MemberId member : members) out = write_present(out, field, member.value);
  return out;
}

// A repeated number: one by one, as proto2 writes it, or packed, as any reader must take it.
bool read_members(const pb::Field& field, std::vector<MemberId>* out) {
  if (field.type == pb::kVarint) {
    out->push_back(MemberId(field.value));
    return true;
  }
  if (field.type != pb::kBytes) return false;
  std::string_view packed = field.bytes;
  while (!packed.empty()) {
    uint64_t value = 0;
    size_t length = 0;
    for (bool more = true; more; ++length) {
      if (length == packed.size() || length == 10) return false;
      uint8_t byte = static_cast<uint8_t>(packed[length]);
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * length);
      more = byte >= 0x80;
    }
    out->push_back(MemberId(value));
    packed.remove_prefix(length);
  }
  return true;
}

}  // namespace

size_t wire_size(const raft::ConfState& conf) {
  return members_size(1, conf.voters) + members_size(2, conf.learners) +
         members_size(3, conf.voters_outgoing) + members_size(4, conf.learners_next) +
         present_size(5, conf.auto_leave);
}

char* write(char* out, const raft::ConfState& conf) {
  out = write_members(out, 1, conf.voters);
  out = write_members(out, 2, conf.learners);
  out = write_members(out, 3, conf.voters_outgoing);
  out = write_members(out, 4, conf.learners_next);
  return write_present(out, 5, conf.auto_leave);
}

absl::StatusOr<raft::ConfState> decode_conf_state(std::string_view bytes) {
  raft::ConfState conf;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    bool fine = true;
    switch (field.number) {
      case 1:
        fine = read_members(field, &conf.voters);
        break;
      case 2:
        fine = read_members(field, &conf.learners);
        break;
      case 3:
        fine = read_members(field, &conf.voters_outgoing);
        break;
      case 4:
        fine = read_members(field, &conf.learners_next);
        break;
      case 5:
        fine = field.type == pb::kVarint;
        conf.auto_leave = field.value != 0;
        break;
    }
    if (!fine) return malformed("ConfState");
  }
  if (!reader.ok()) return malformed("ConfState");
  return conf;
}

// --- Snapshot --------------------------------------------------------------------------------

namespace {

size_t metadata_size(const raft::SnapshotMetadata& metadata) {
  return pb::bytes_field_size(1, wire_size(metadata.conf_state)) +
         present_size(2, metadata.index.value) + present_size(3, metadata.term.value);
}

char* write_metadata(char* out, const raft::SnapshotMetadata& metadata) {
  out = pb::write_bytes_head(out, 1, wire_size(metadata.conf_state));
  out = write(out, metadata.conf_state);
  out = write_present(out, 2, metadata.index.value);
  return write_present(out, 3, metadata.term.value);
}

absl::Status decode_metadata(std::string_view bytes, raft::SnapshotMetadata* out) {
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > 3) continue;
    if (field.type != (field.number == 1 ? pb::kBytes : pb::kVarint)) {
      return malformed("SnapshotMetadata");
    }
    if (field.number == 1) {
      absl::StatusOr<raft::ConfState> conf = decode_conf_state(field.bytes);
      if (!conf.ok()) return conf.status();
      out->conf_state = *std::move(conf);
    }
    if (field.number == 2) out->index = Index(field.value);
    if (field.number == 3) out->term = Term(field.value);
  }
  return reader.ok() ? absl::OkStatus() : malformed("SnapshotMetadata");
}

}  // namespace

size_t wire_size(const raft::Snapshot& snapshot) {
  size_t size = pb::bytes_field_size(2, metadata_size(snapshot.metadata));
  if (!snapshot.data.empty()) size += pb::bytes_field_size(1, snapshot.data.size());
  return size;
}

char* write(char* out, const raft::Snapshot& snapshot) {
  if (!snapshot.data.empty()) out = pb::write_bytes_field(out, 1, snapshot.data.view());
  out = pb::write_bytes_head(out, 2, metadata_size(snapshot.metadata));
  return write_metadata(out, snapshot.metadata);
}

Bytes encode(const raft::Snapshot& snapshot) { return encode_whole(snapshot); }

absl::StatusOr<raft::Snapshot> decode_snapshot(const Bytes& block, std::string_view bytes) {
  raft::Snapshot snapshot;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > 2) continue;
    if (field.type != pb::kBytes) return malformed("Snapshot");
    if (field.number == 1) snapshot.data = share(block, field.bytes);
    if (field.number == 2) {
      absl::Status status = decode_metadata(field.bytes, &snapshot.metadata);
      if (!status.ok()) return status;
    }
  }
  if (!reader.ok()) return malformed("Snapshot");
  return snapshot;
}

// --- Message ---------------------------------------------------------------------------------

size_t wire_size(const raft::Message& m) {
  size_t size = present_size(kType, static_cast<uint64_t>(m.type));
  size += pb::varint_field_size(kTo, m.to.value);
  size += pb::varint_field_size(kFrom, m.from.value);
  size += pb::varint_field_size(kTerm, m.term.value);
  size += pb::varint_field_size(kLogTerm, m.log_term.value);
  size += pb::varint_field_size(kIndex, m.index.value);
  for (const raft::Entry& entry : m.entries) {
    size += pb::bytes_field_size(kEntries, wire_size(entry));
  }
  size += pb::varint_field_size(kCommit, m.commit.value);
  if (m.snapshot) size += pb::bytes_field_size(kSnapshot, wire_size(*m.snapshot));
  size += pb::varint_field_size(kReject, m.reject);
  size += pb::varint_field_size(kRejectHint, m.reject_hint.value);
  if (!m.context.empty()) size += pb::bytes_field_size(kContext, m.context.size());
  size += pb::varint_field_size(kVote, m.vote.value);
  for (const raft::Message& response : m.responses) {
    size += pb::bytes_field_size(kResponses, wire_size(response));
  }
  return size;
}

char* write(char* out, const raft::Message& m) {
  out = write_present(out, kType, static_cast<uint64_t>(m.type));
  out = pb::write_varint_field(out, kTo, m.to.value);
  out = pb::write_varint_field(out, kFrom, m.from.value);
  out = pb::write_varint_field(out, kTerm, m.term.value);
  out = pb::write_varint_field(out, kLogTerm, m.log_term.value);
  out = pb::write_varint_field(out, kIndex, m.index.value);
  for (const raft::Entry& entry : m.entries) {
    out = write(pb::write_bytes_head(out, kEntries, wire_size(entry)), entry);
  }
  out = pb::write_varint_field(out, kCommit, m.commit.value);
  if (m.snapshot) {
    out = write(pb::write_bytes_head(out, kSnapshot, wire_size(*m.snapshot)), *m.snapshot);
  }
  out = pb::write_varint_field(out, kReject, m.reject);
  out = pb::write_varint_field(out, kRejectHint, m.reject_hint.value);
  if (!m.context.empty()) out = pb::write_bytes_field(out, kContext, m.context.view());
  out = pb::write_varint_field(out, kVote, m.vote.value);
  for (const raft::Message& response : m.responses) {
    out = write(pb::write_bytes_head(out, kResponses, wire_size(response)), response);
  }
  return out;
}

Bytes encode(const raft::Message& message) { return encode_whole(message); }

namespace {

class MessageDecoder {
 public:
  explicit MessageDecoder(const Bytes& block) : block_(block) {}

  absl::StatusOr<raft::Message> decode(std::string_view bytes, int depth) {
    raft::Message message;
    std::vector<raft::Entry> entries;
    pb::LoggedReader reader(bytes);
    pb::Field field;
    while (reader.next(&field)) {
      absl::Status status = absl::OkStatus();
      if (field.type == pb::kVarint) {
        status = take_number(field, &message);
      } else if (field.type == pb::kBytes) {
        status = take_bytes(field, depth, &message, &entries);
      }
      if (!status.ok()) return status;
    }
    if (!reader.ok()) return malformed("Message");
    message.entries = raft::Entries(std::move(entries));
    return message;
  }

 private:
  static bool is_bytes_field(uint32_t number) {
    return number == kEntries || number == kSnapshot || number == kContext || number == kResponses;
  }

  absl::Status take_number(const pb::Field& field, raft::Message* m) {
    if (is_bytes_field(field.number)) return malformed("Message");
    switch (field.number) {
      case kType:
        if (field.value >= raft::kMessageTypes) return malformed("Message: unknown type");
        m->type = static_cast<raft::MessageType>(field.value);
        break;
      case kTo:
        m->to = MemberId(field.value);
        break;
      case kFrom:
        m->from = MemberId(field.value);
        break;
      case kTerm:
        m->term = Term(field.value);
        break;
      case kLogTerm:
        m->log_term = Term(field.value);
        break;
      case kIndex:
        m->index = Index(field.value);
        break;
      case kCommit:
        m->commit = Index(field.value);
        break;
      case kReject:
        m->reject = field.value != 0;
        break;
      case kRejectHint:
        m->reject_hint = Index(field.value);
        break;
      case kVote:
        m->vote = MemberId(field.value);
        break;
    }
    return absl::OkStatus();
  }

  absl::Status take_bytes(const pb::Field& field, int depth, raft::Message* m,
                          std::vector<raft::Entry>* entries) {
    switch (field.number) {
      case kEntries: {
        absl::StatusOr<raft::Entry> entry = decode_entry(block_, field.bytes);
        if (!entry.ok()) return entry.status();
        entries->push_back(*std::move(entry));
        return absl::OkStatus();
      }
      case kSnapshot: {
        absl::StatusOr<raft::Snapshot> snapshot = decode_snapshot(block_, field.bytes);
        if (!snapshot.ok()) return snapshot.status();
        m->snapshot = std::make_shared<const raft::Snapshot>(*std::move(snapshot));
        return absl::OkStatus();
      }
      case kContext:
        m->context = share(block_, field.bytes);
        return absl::OkStatus();
      case kResponses: {
        if (depth == kMaxResponseDepth) return malformed("Message: responses nested too deep");
        absl::StatusOr<raft::Message> response = decode(field.bytes, depth + 1);
        if (!response.ok()) return response.status();
        m->responses.push_back(*std::move(response));
        return absl::OkStatus();
      }
      default:
        return field.number <= kVote ? malformed("Message") : absl::OkStatus();
    }
  }

  const Bytes& block_;
};

}  // namespace

absl::StatusOr<raft::Message> decode_message(const Bytes& bytes) {
  return MessageDecoder(bytes).decode(bytes.view(), 0);
}

}  // namespace keelson::wire
