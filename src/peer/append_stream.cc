#include "peer/append_stream.h"

#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/text.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

enum Kind : uint8_t { kLinkHeartbeat = 0, kAppEntries = 1, kApp = 2 };

constexpr size_t kNumberSize = 8;

char* write_number(char* out, uint64_t value) {
  store_big64(out, value);
  return out + kNumberSize;
}

Index last_index(const raft::Message& message) {
  return message.entries.empty() ? message.index : message.entries.back().index;
}

absl::Status too_big() { return absl::ResourceExhaustedError("rafthttp: error limit exceeded"); }

}  // namespace

// --- AppendEncoder ---------------------------------------------------------------------------

Bytes AppendEncoder::encode(const raft::Message& message) {
  if (is_link_heartbeat(message)) return Bytes::copy(std::string_view("\0", 1));
  CHECK(message.type == raft::MessageType::kMsgApp);
  const bool follows = message.index == index_ && message.log_term == term_;
  if (follows && message.log_term == message.term) return encode_entries(message);
  return encode_whole(message);
}

Bytes AppendEncoder::encode_entries(const raft::Message& message) {
  size_t size = 1 + 2 * kNumberSize;
  for (const raft::Entry& entry : message.entries) size += kNumberSize + wire::wire_size(entry);
  index_ = last_index(message);
  return Bytes::build(size, [&](char* out) {
    *out++ = kAppEntries;
    out = write_number(out, message.entries.size());
    for (const raft::Entry& entry : message.entries) {
      out = wire::write(write_number(out, wire::wire_size(entry)), entry);
    }
    write_number(out, message.commit.value);
  });
}

Bytes AppendEncoder::encode_whole(const raft::Message& message) {
  const size_t size = wire::wire_size(message);
  term_ = message.term;
  index_ = last_index(message);
  return Bytes::build(1 + kNumberSize + size, [&](char* out) {
    *out++ = kApp;
    wire::write(write_number(out, size), message);
  });
}

// --- AppendDecoder ---------------------------------------------------------------------------

AppendDecoder::AppendDecoder(AppendLink link, size_t limit) : link_(link), limit_(limit) {
  await(Part::kKind, 1);
}

void AppendDecoder::await(Part part, size_t size) {
  gather_.release();
  gather_.expect(size);
  part_ = part;
}

void AppendDecoder::await_entry_or_commit() {
  await(left_ > 0 ? Part::kEntrySize : Part::kCommit, kNumberSize);
}

absl::StatusOr<std::optional<raft::Message>> AppendDecoder::next(std::string_view* in) {
  while (error_.ok()) {
    const std::optional<std::string_view> bytes = gather_.take(in);
    if (!bytes) return std::nullopt;
    absl::StatusOr<std::optional<raft::Message>> message = take(*bytes);
    if (!message.ok()) {
      error_ = message.status();
    } else if (message->has_value()) {
      return message;
    }
  }
  return error_;
}

absl::StatusOr<std::optional<raft::Message>> AppendDecoder::take(std::string_view bytes) {
  absl::Status status;
  switch (part_) {
    case Part::kKind:
      return take_kind(static_cast<uint8_t>(bytes[0]));
    case Part::kWhole:
      return take_whole(bytes);
    case Part::kCommit:
      return std::optional(take_commit(Index(load_big64(bytes.data()))));
    case Part::kCount:
      left_ = load_big64(bytes.data());
      await_entry_or_commit();
      break;
    case Part::kWholeSize:
      status = take_size(Part::kWhole, load_big64(bytes.data()));
      break;
    case Part::kEntrySize:
      status = take_size(Part::kEntry, load_big64(bytes.data()));
      break;
    case Part::kEntry:
      status = take_entry(bytes);
      break;
  }
  if (!status.ok()) return status;
  return std::nullopt;
}

absl::StatusOr<std::optional<raft::Message>> AppendDecoder::take_kind(uint8_t kind) {
  switch (kind) {
    case kLinkHeartbeat:
      await(Part::kKind, 1);
      return std::optional(link_heartbeat());
    case kAppEntries:
      before_ = index_;
      await(Part::kCount, kNumberSize);
      return std::nullopt;
    case kApp:
      await(Part::kWholeSize, kNumberSize);
      return std::nullopt;
  }
  return absl::InvalidArgumentError(
      cat("failed to parse type ", static_cast<int>(kind), " in msgappv2 stream"));
}

absl::Status AppendDecoder::take_size(Part next, uint64_t size) {
  CHECK(held_ <= limit_);
  if (size > limit_ - held_) return too_big();
  await(next, size);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<raft::Message>> AppendDecoder::take_whole(std::string_view bytes) {
  absl::StatusOr<raft::Message> message = decode_peer_message(bytes, limit_);
  if (!message.ok()) return message.status();
  if (message->type != raft::MessageType::kMsgApp) {
    return absl::InvalidArgumentError("a msgappv2 stream carries nothing but MsgApp");
  }
  term_ = message->term;
  index_ = last_index(*message);
  await(Part::kKind, 1);
  return std::optional(*std::move(message));
}

absl::Status AppendDecoder::take_entry(std::string_view bytes) {
  absl::StatusOr<raft::Entry> entry = wire::decode_entry(Bytes::copy(bytes));
  if (!entry.ok()) return entry.status();
  if (entry->index != index_ + 1) {
    return absl::InvalidArgumentError("an entry in a msgappv2 stream does not follow on the last");
  }
  const size_t cost = bytes.size() + sizeof(raft::Entry);
  if (cost > limit_ - held_) return too_big();
  held_ += cost;
  ++index_;
  --left_;
  entries_.push_back(*std::move(entry));
  CHECK(index_ == before_ + entries_.size());
  await_entry_or_commit();
  return absl::OkStatus();
}

raft::Message AppendDecoder::take_commit(Index commit) {
  raft::Message message{.type = raft::MessageType::kMsgApp,
                        .to = link_.local,
                        .from = link_.remote,
                        .term = term_,
                        .log_term = term_,
                        .index = before_,
                        .entries = raft::Entries(std::exchange(entries_, {})),
                        .commit = commit};
  held_ = 0;
  await(Part::kKind, 1);
  return message;
}

}  // namespace keelson::peer
