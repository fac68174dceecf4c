#include "wal/replay.h"

#include <algorithm>

#include "base/text.h"
#include "wire/raft_codec.h"

namespace keelson::wal {

namespace {

// Terms grow by one per election. A leap like this is a member's id read as a term.
constexpr uint64_t kIncredibleLeap = uint64_t{1} << 40;

absl::Status bad(std::string_view what) { return absl::DataLossError(to_absl(what)); }

}  // namespace

absl::StatusOr<LogReader::Outcome> Replay::run(LogReader& reader) {
  LogReader::Record record;
  while (true) {
    absl::StatusOr<LogReader::Outcome> outcome = reader.next(&record);
    if (!outcome.ok()) return outcome;
    const bool end = *outcome != LogReader::Outcome::kRecord;
    absl::Status status = end ? deliver_to(last_entry_) : take(record);
    if (status.ok() && end) return outcome;
    if (status.ok()) continue;
    if (absl::IsDataLoss(status))
      return damaged(reader.segment().path, reader.record_offset(), message_of(status));
    return status;
  }
}

absl::Status Replay::found() const {
  if (found_ || !from_) return absl::OkStatus();
  return absl::NotFoundError("wal: snapshot not found");
}

absl::Status Replay::take(const LogReader::Record& record) {
  switch (record.type) {
    case wire::RecordType::kEntry:
      return take_entry(record);
    case wire::RecordType::kState:
      return take_state(record.data);
    case wire::RecordType::kMetadata:
      return take_metadata(record);
    case wire::RecordType::kSnapshot:
      return take_mark(record.data);
    case wire::RecordType::kCrc:
      break;
  }
  return absl::OkStatus();
}

absl::Status Replay::take_entry(const LogReader::Record& record) {
  absl::StatusOr<raft::Entry> entry = wire::decode_entry(record.block, record.data);
  if (!entry.ok() || wire::wire_size(*entry) != record.data.size()) return bad("no entry");
  absl::Status status = check_entry(*entry);
  if (!status.ok()) return status;

  last_ = entry->index;
  last_entry_ = entry->index;
  last_entry_term_ = entry->term;
  while (!pending_.empty() && pending_.back().index >= entry->index) pending_.pop_back();
  if (from_ && entry->index > from_->index) pending_.push_back(*std::move(entry));
  return absl::OkStatus();
}

absl::Status Replay::deliver_to(Index index) {
  while (!pending_.empty() && pending_.front().index <= index) {
    raft::Entry entry = std::move(pending_.front());
    pending_.pop_front();
    delivered_ = entry.index;
    ++entries_;
    if (!visit_) continue;
    if (absl::Status status = visit_(std::move(entry)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Replay::check_entry(const raft::Entry& entry) const {
  if (entry.index == Index(0)) return bad("an entry without an index");
  if (entry.term == Term(0)) return bad("an entry without a term");
  const Term newest = std::max(last_entry_term_, state_.term);
  if (newest != Term(0) && entry.term.value > newest.value + kIncredibleLeap) {
    return bad("an entry of an incredible term");
  }
  if (last_entry_ != Index(0) && entry.index == last_entry_ + 1 && entry.term < last_entry_term_) {
    return bad("an entry of an older term than the one before it");
  }
  if (entry.index <= delivered_) return bad("an entry in the place of a committed one");
  if (!from_ || entry.index <= from_->index) return absl::OkStatus();
  if (entry.index > std::max(last_entry_, from_->index) + 1) {
    return bad(cat("entry ", entry.index.value, " follows entry ", last_entry_.value));
  }
  return absl::OkStatus();
}

absl::Status Replay::take_state(std::string_view data) {
  absl::StatusOr<raft::HardState> state = wire::decode_hard_state(data);
  if (!state.ok() || wire::wire_size(*state) != data.size()) return bad("no hard state");
  if (state->term == Term(0)) return bad("a hard state without a term");
  if (state->term < state_.term) return bad("a hard state whose term went back");
  if (state->commit < state_.commit) return bad("a hard state whose commit went back");
  const bool voted = state_.vote != raft::kNobody;
  if (state->term == state_.term && voted && state->vote != state_.vote) {
    return bad("a second vote in one term");
  }
  state_ = *state;
  return deliver_to(state_.commit);
}

absl::Status Replay::take_metadata(const LogReader::Record& record) {
  if (!metadata_) {
    metadata_ = Bytes::copy(record.data);
    return absl::OkStatus();
  }
  if (metadata_->view() == record.data) return absl::OkStatus();
  return bad("wal: conflicting metadata found");
}

absl::Status Replay::take_mark(std::string_view data) {
  absl::StatusOr<wire::WalSnapshot> mark = wire::decode_wal_snapshot(data);
  if (!mark.ok()) return bad("no snapshot mark");
  last_ = std::max(last_, mark->index);
  if (from_ && mark->index == from_->index) {
    if (mark->term != from_->term) {
      return absl::FailedPreconditionError("wal: snapshot mismatch");
    }
    found_ = true;
  }
  marks_.push_back(*std::move(mark));
  return absl::OkStatus();
}

}  // namespace keelson::wal
