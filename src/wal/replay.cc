#include "wal/replay.h"

#include <algorithm>
#include <utility>

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
  leap_unless_before(entry->index);
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
  if (!everything_ && (!from_ || entry.index <= from_->index)) return;
  CHECK(pending() == 0 || entry.index == pending_last_ + 1);
  CHECK(entry.index > delivered_);
  pending_last_ = entry.index;
  if (everything_) {
    while (!terms_.empty() && terms_.back().index >= entry.index) terms_.pop_back();
    if (terms_.empty() || terms_.back().term != entry.term) {
      terms_.push_back({entry.index, entry.term});
    }
  }
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
  if (everything_ && last_entry_ == Index(0)) return absl::OkStatus();
  if (!everything_ && (!from_ || entry.index <= from_->index)) return absl::OkStatus();
  if (entry.index > std::max(last_entry_, from_.value_or(SnapshotMark()).index) + 1) {
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
  if (leap_ && leap_->index <= state_.commit) leap_unless_before(leap_->index + 1);
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
      drop_replaced(*from_);
    }
  }
  if (everything_ && last_entry_ != Index(0) && !is_of_entries(*mark)) {
    leap_ = SnapshotMark{mark->index, mark->term};
  }
  if (!from_) marks_.push_back(*std::move(mark));
  return absl::OkStatus();
}

// A member's own mark, of entries that it has read and applied.
bool Replay::is_of_entries(const wire::WalSnapshot& mark) const {
  if (mark.index <= delivered_) return true;
  if (mark.index > last_entry_) return false;
  // From before what is left of the log.
  if (terms_.empty() || mark.index < terms_.front().index) return true;
  auto after = std::find_if(terms_.rbegin(), terms_.rend(),
                            [&](const SnapshotMark& run) { return run.index <= mark.index; });
  return after->term == mark.term;
}

// What comes after a mark of another member's state tells whether that was ever taken over: it goes
// on behind the mark, or at or before it, as if there had been none. (wal.h, 3: a mark and what
// covers it are two records.)
void Replay::leap_unless_before(Index index) {
  const std::optional<SnapshotMark> mark = std::exchange(leap_, std::nullopt);
  if (!mark || index <= mark->index) return;
  drop_replaced(*mark);
  delivered_ = std::max(delivered_, mark->index);
}

// The state at the mark came from a leader in whose log another entry stands there than in this
// one: what is behind that entry here is no part of the history.
void Replay::drop_replaced(const SnapshotMark& mark) {
  held_.clear();
  terms_.clear();
  beyond_.clear();
  held_bytes_ = 0;
  last_entry_ = mark.index;
  last_entry_term_ = mark.term;
  term_at_from_ = mark.term;
}

}  // namespace keelson::wal
