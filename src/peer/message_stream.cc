#include "peer/message_stream.h"

#include "base/endian.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

constexpr size_t kHeadSize = 8;
// Fields of raftpb.Message.
constexpr uint32_t kEntriesField = 7;
constexpr uint32_t kResponsesField = 14;
// A leader sends a megabyte of entries together, and none takes less than six bytes. More of them
// would hold up the thread that decodes them.
constexpr size_t kMostEntries = (size_t{1} << 20) / 6 + 1;

// What is refused before any of it is decoded. An entry of two bytes on the wire is dozens of bytes
// in memory, so the sum counts those.
absl::Status check_outline(std::string_view bytes, size_t limit) {
  size_t held = bytes.size(), entries = 0;
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number == kResponsesField) {
      return absl::InvalidArgumentError("a raft message with responses is not for other members");
    }
    if (field.number != kEntriesField) continue;
    held += sizeof(raft::Entry);
    if (++entries > kMostEntries) {
      return absl::ResourceExhaustedError("a raft message has more entries than anybody sends");
    }
  }
  if (held > limit) return absl::ResourceExhaustedError("rafthttp: error limit exceeded");
  return absl::OkStatus();
}

bool entries_follow(const raft::Message& message) {
  Index last = message.index;
  for (const raft::Entry& entry : message.entries) {
    if (entry.index != ++last) return false;
  }
  return true;
}

}  // namespace

raft::Message link_heartbeat() { return {.type = raft::MessageType::kMsgHeartbeat}; }

bool is_link_heartbeat(const raft::Message& message) {
  return message.type == raft::MessageType::kMsgHeartbeat && message.from == raft::kNobody &&
         message.to == raft::kNobody;
}

Bytes encode_message(const raft::Message& message) {
  const size_t size = wire::wire_size(message);
  return Bytes::build(kHeadSize + size, [&](char* out) {
    store_big64(out, size);
    wire::write(out + kHeadSize, message);
  });
}

absl::StatusOr<raft::Message> decode_peer_message(std::string_view bytes, size_t limit) {
  absl::Status outline = check_outline(bytes, limit);
  if (!outline.ok()) return outline;
  absl::StatusOr<raft::Message> message = wire::decode_message(Bytes::copy(bytes));
  if (!message.ok()) return message;
  if (message->type == raft::MessageType::kMsgApp && !entries_follow(*message)) {
    return absl::InvalidArgumentError("entries of a MsgApp do not follow on its index");
  }
  return message;
}

MessageDecoder::MessageDecoder(size_t limit) : limit_(limit) { gather_.expect(kHeadSize); }

absl::Status MessageDecoder::begin(std::string_view head) {
  const uint64_t size = load_big64(head.data());
  gather_.release();
  if (size > limit_) return absl::ResourceExhaustedError("rafthttp: error limit exceeded");
  gather_.expect(size);
  in_message_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<raft::Message>> MessageDecoder::next(std::string_view* in) {
  if (!error_.ok()) return error_;
  if (!in_message_) {
    const std::optional<std::string_view> head = gather_.take(in);
    if (!head) return std::nullopt;
    error_ = begin(*head);
    if (!error_.ok()) return error_;
  }
  const std::optional<std::string_view> body = gather_.take(in);
  if (!body) return std::nullopt;
  absl::StatusOr<raft::Message> message = decode_peer_message(*body, limit_);
  gather_.release();
  gather_.expect(kHeadSize);
  in_message_ = false;
  if (!message.ok()) {
    error_ = message.status();
    return error_;
  }
  return std::optional(*std::move(message));
}

}  // namespace keelson::peer
