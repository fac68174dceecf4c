// peer/append_stream.h
//
// The "msgappv2" stream (docs/formats/peer.md), by which a leader sends MsgApp: whatever follows
// plainly on the message before goes as bare entries and a commit index, the rest whole.
//
// State: both ends remember the term and the last index of the message before, from 0 and 0 at the
//   start of each connection; so each connection has an encoder and a decoder of its own, and all
//   that the encoder made is sent, in order.
// Bounds, threads, errors: as in peer/message_stream.h.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "peer/gather.h"
#include "peer/message_stream.h"
#include "raft/types.h"

namespace keelson::peer {

class AppendEncoder {
 public:
  // REQUIRES: `message` is a MsgApp or a link heartbeat.
  Bytes encode(const raft::Message& message);

 private:
  Bytes encode_entries(const raft::Message& message);
  Bytes encode_whole(const raft::Message& message);

  Term term_{};
  Index index_{};
};

struct AppendLink {
  MemberId local{};
  MemberId remote{};
};

class AppendDecoder {
 public:
  explicit AppendDecoder(AppendLink link, size_t limit = kMaxMessageSize);

  // As MessageDecoder::next(). A link heartbeat is a message too (is_link_heartbeat()).
  absl::StatusOr<std::optional<raft::Message>> next(std::string_view* in);

  // The stream may end here: no message is half-way.
  bool at_boundary() const { return error_.ok() && part_ == Part::kKind; }

 private:
  // What the bytes awaited are.
  enum class Part : uint8_t { kKind, kWholeSize, kWhole, kCount, kEntrySize, kEntry, kCommit };

  void await(Part part, size_t size);
  void await_entry_or_commit();
  // Takes the part that is whole; a message when it was the last one.
  absl::StatusOr<std::optional<raft::Message>> take(std::string_view bytes);
  absl::StatusOr<std::optional<raft::Message>> take_kind(uint8_t kind);
  absl::StatusOr<std::optional<raft::Message>> take_whole(std::string_view bytes);
  absl::Status take_size(Part next, uint64_t size);
  absl::Status take_entry(std::string_view bytes);
  raft::Message take_commit(Index commit);

  const AppendLink link_;
  const size_t limit_;
  Gather gather_;
  Part part_ = Part::kKind;
  Term term_{};
  Index index_{};

  // The message of bare entries under way.
  Index before_{};     // index_ == before_ + entries_.size() while under way
  uint64_t left_ = 0;  // entries still to come
  std::vector<raft::Entry> entries_;
  size_t held_ = 0;  // what entries_ takes; held_ <= limit_
  absl::Status error_;
};

}  // namespace keelson::peer
