#include "wal/replay.h"

#include <algorithm>

#include "base/check.h"
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
    if (!end) {
      absl::Status status = take(record);
      if (absl::IsDataLoss(status)) {
        return damaged(reader.segment().path, reader.record_offset(), message_of(status));
      }
      if (!status.ok()) return status;
    }
    // What the log ends with is not known to be committed, but nothing replaces it any more.
    absl::Status status = deliver_to(reader, end ? last_entry_ : state_.commit);
    if (!status.ok()) return status;
    if (end) return outcome;
  }
}

absl::Status Replay::found() const {
  const bool finished = !from_ || !unfinished_ || unfinished_->index != from_->index;
  if (!from_ || (found_ && finished)) return absl::OkStatus();
  return absl::NotFoundError("wal: snapshot not found");
}

absl::Status Replay::take(const LogReader::Record& record) {
  unfinished_.reset();
  switch (record.type) {
    case wire::RecordType::kEntry:
      return take_entry(record);
    case wire::RecordType::kState:
      return take_state(record.data);
    case wire::RecordType::kMetadata:
      return take_metadata(record);
    case wire::RecordType::kSnapshot:
      return take_mark(record);
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
  if (from_ && entry->index == from_->index) term_at_from_ = entry->term;
  hold_back(record.place, *std::move(entry));
  return absl::OkStatus();
}

// Adds `entry` in the place of what was at its index and after.
void Replay::hold_back(LogReader::Place place, raft::Entry entry) {
  for (; pending() > 0 && pending_last_ >= entry.index; pending_last_ = pending_last_ - 1) {
    if (!beyond_.empty()) {
      beyond_.pop_back();
      continue;
    }
    held_bytes_ -= held_.back().data.size();
    held_.pop_back();
  }
  if (!from_ || entry.index <= from_->index) return;
  CHECK(pending() == 0 || entry.index == pending_last_ + 1);
  CHECK(entry.index > delivered_);
  pending_last_ = entry.index;
  if (!beyond_.empty() || held_bytes_ >= kHeldBytes) {
    beyond_.push_back(place);
    return;
  }
  held_bytes_ += entry.data.size();
  held_.push_back(std::move(entry));
}

absl::Status Replay::deliver_to(LogReader& reader, Index index) {
  while (pending() > 0 && pending_last_ - pending() < index) {
    absl::StatusOr<raft::Entry> entry = take_first(reader);
    if (!entry.ok()) return entry.status();
    CHECK(entry->index > delivered_);
    delivered_ = entry->index;
    ++entries_;
    if (!visit_) continue;
    if (absl::Status status = visit_(*std::move(entry)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<raft::Entry> Replay::take_first(LogReader& reader) {
  if (!held_.empty()) {
    raft::Entry entry = std::move(held_.front());
    held_.pop_front();
    CHECK(held_bytes_ >= entry.data.size());
    held_bytes_ -= entry.data.size();
    return entry;
  }
  const LogReader::Place place = beyond_.front();
  beyond_.pop_front();
  absl::StatusOr<LogReader::Record> record = reader.read_again(place);
  if (!record.ok()) return record.status();
  return wire::decode_entry(record->block, record->data);
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
  return absl::OkStatus();
}

absl::Status Replay::take_metadata(const LogReader::Record& record) {
  if (!metadata_) {
    metadata_ = Bytes::copy(record.data);
    return absl::OkStatus();
  }
  if (metadata_->view() == record.data) return absl::OkStatus();
  return bad("wal: conflicting metadata found");
}

absl::Status Replay::take_mark(const LogReader::Record& record) {
  absl::StatusOr<wire::WalSnapshot> mark = wire::decode_wal_snapshot(record.data);
  if (!mark.ok()) return bad("no snapshot mark");
  if (mark->index > state_.commit) unfinished_ = {record.place, mark->index, last_};
  last_ = std::max(last_, mark->index);
  if (from_ && mark->index == from_->index) {
    if (mark->term != from_->term) {
      return absl::FailedPreconditionError("wal: snapshot mismatch");
    }
    found_ = true;
    if (term_at_from_ != Term(0) && term_at_from_ != mark->term) {
      if (delivered_ > mark->index) return bad("a snapshot in the place of committed entries");
      drop_replaced(*mark);
    }
  }
  if (!from_) marks_.push_back(*std::move(mark));
  return absl::OkStatus();
}

// The state at the mark came from a leader in whose log another entry stands there than in this
// one: what is behind that entry here is no part of the history.
void Replay::drop_replaced(const wire::WalSnapshot& mark) {
  held_.clear();
  beyond_.clear();
  held_bytes_ = 0;
  last_entry_ = mark.index;
  last_entry_term_ = mark.term;
  term_at_from_ = mark.term;
}

}  // namespace keelson::wal
