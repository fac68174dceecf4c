#include "wal/follower.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::wal {

namespace {

// A log may have more segments than a process may have files.
constexpr size_t kOpenAhead = 4;

}  // namespace

uint32_t sum_of(const raft::Entry& entry) { return crc32c::extend(0, entry.data.view()); }

Follower::Follower(std::string dir, Behind behind, Options options)
    : dir_(std::move(dir)),
      fs_(options.fs ? *options.fs : *posix_file_system()),
      of_committed_(options.of_committed),
      behind_(behind),
      met_behind_(behind.index == Index(0)),
      handed_(behind.index) {}

absl::StatusOr<std::unique_ptr<Follower>> Follower::open(const std::string& dir, Behind behind,
                                                         Options options) {
  auto follower = std::unique_ptr<Follower>(new Follower(dir, behind, options));
  absl::StatusOr<std::vector<SegmentName>> names = list_segments(follower->fs_, dir);
  if (!names.ok()) return names.status();
  names = select_segments(*std::move(names), behind.index);
  if (absl::IsNotFound(names.status())) {
    return absl::OutOfRangeError(
        to_absl(cat("wal: the log in ", dir, " begins behind entry ", behind.index.value)));
  }
  if (!names.ok()) return names.status();
  follower->ahead_.assign(names->begin(), names->end());
  if (absl::Status s = follower->open_ahead(); !s.ok()) return s;
  follower->reader_ = std::make_unique<LogReader>(follower->segments_);
  return follower;
}

absl::Status Follower::open_ahead() {
  while (segments_.size() < kOpenAhead && !ahead_.empty()) {
    const SegmentName name = ahead_.front();
    std::string path = cat(dir_, "/", to_string(name));
    absl::StatusOr<std::unique_ptr<File>> file = fs_.open(path, OpenMode::kRead);
    // It was released since the directory was listed.
    if (absl::IsNotFound(file.status())) {
      return absl::OutOfRangeError(to_absl(cat("wal: ", path, " is not there any more")));
    }
    if (!file.ok()) return file.status();
    segments_.push_back({name, std::move(path), *std::move(file)});
    ahead_.pop_front();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<raft::Entry>> Follower::next(SnapshotMark applied) {
  if (!failure_.ok()) return failure_;
  fresh_ = false;
  while (true) {
    if (!held_.empty() && held_.front().index <= final_to(applied)) {
      if (!met_behind_) {
        return fail(absl::FailedPreconditionError(to_absl(
            cat("wal: entry ", behind_.index.value, " of the log in ", dir_, " is another one"))));
      }
      raft::Entry entry = std::move(held_.front());
      held_.pop_front();
      CHECK(entry.index == handed_ + 1);
      handed_ = entry.index;
      return entry;
    }
    if (met_behind_ && handed_ >= applied.index) return std::nullopt;
    absl::StatusOr<bool> more = read_record();
    if (!more.ok()) return fail(more.status());
    if (*more) continue;
    if (met_behind_) return std::nullopt;
    // The one behind which to go on was durable in this log.
    return fail(absl::FailedPreconditionError(to_absl(cat(
        "wal: the log in ", dir_, " does not have entry ", behind_.index.value, " as it was"))));
  }
}

// Errors that stay.
absl::Status Follower::fail(absl::Status status) {
  if (absl::IsOutOfRange(status) || absl::IsFailedPrecondition(status) ||
      absl::IsDataLoss(status)) {
    failure_ = status;
  }
  return status;
}

Index Follower::final_to(SnapshotMark applied) const {
  if (of_committed_) return applied.index;
  const raft::Entry* met = held_at(applied.index);
  if (met && met->term == applied.term) return applied.index;
  return std::min(commit_, applied.index);
}

const raft::Entry* Follower::held_at(Index index) const {
  if (index <= handed_) return nullptr;
  const uint64_t place = index - handed_ - 1;
  return place < held_.size() ? &held_[place] : nullptr;
}

absl::StatusOr<bool> Follower::read_record() {
  while (true) {
    if (!renew_ && in_last_opened() && !ahead_.empty()) leave_others();
    if (renew_) {
      if (absl::Status s = open_ahead(); !s.ok()) return s;
      if (absl::Status s = reader_->go_on(segments_); !s.ok()) return s;
      renew_ = false;
      fresh_ = true;
    }
    LogReader::Record record;
    absl::StatusOr<LogReader::Outcome> outcome = reader_->next(&record);
    if (outcome.ok() && *outcome == LogReader::Outcome::kRecord) {
      if (absl::Status s = take(record); !s.ok()) return s;
      return true;
    }
    // A segment that others follow is complete: what cannot be read there is damaged.
    const bool in_last = in_last_opened() && ahead_.empty();
    if (!outcome.ok() && (!absl::IsDataLoss(outcome.status()) || !in_last)) return outcome.status();
    CHECK(in_last);
    end_ = outcome.status();
    if (outcome.ok() && *outcome == LogReader::Outcome::kTorn) {
      end_ = absl::DataLossError("wal: the last record is not whole");
    }
    leave_others();
    // The block may have been read before what is looked for was written.
    if (!fresh_) continue;
    absl::StatusOr<bool> more = find_more();
    if (!more.ok()) return more.status();
    if (!*more) return false;
  }
}

// The reader is in the last segment that is open: the others were read.
void Follower::leave_others() {
  segments_.erase(segments_.begin(), segments_.end() - 1);
  renew_ = true;
}

// Looks for segments behind the last one.
absl::StatusOr<bool> Follower::find_more() {
  absl::StatusOr<std::vector<SegmentName>> names = list_segments(fs_, dir_);
  if (!names.ok()) return names.status();
  uint64_t last = segments_.back().name.sequence;
  for (const SegmentName& name : *names) {
    if (name.sequence <= last) continue;
    if (name.sequence != ++last) {
      return absl::OutOfRangeError(to_absl(
          cat("wal: the segment before ", to_string(name), " is not in ", dir_, " any more")));
    }
    ahead_.push_back(name);
  }
  return !ahead_.empty();
}

absl::Status Follower::take(const LogReader::Record& record) {
  const auto damage = [&](std::string_view what) {
    return damaged(reader_->segment().path, reader_->record_offset(), what);
  };
  if (record.type != wire::RecordType::kSnapshot) commit_ = said_commit_;
  CHECK(!unfinished_mark_ || *unfinished_mark_ > said_commit_);
  switch (record.type) {
    case wire::RecordType::kEntry:
      return take_entry(record);
    case wire::RecordType::kState: {
      absl::StatusOr<raft::HardState> state = wire::decode_hard_state(record.data);
      if (!state.ok()) return damage("no hard state");
      said_commit_ = std::max(said_commit_, state->commit);
      const std::optional<Index> unfinished = std::exchange(unfinished_mark_, std::nullopt);
      if (unfinished && *unfinished <= state->commit) return replaced(*unfinished);
      return absl::OkStatus();
    }
    case wire::RecordType::kMetadata:
      metadata_ = Bytes::copy(record.data);
      return absl::OkStatus();
    case wire::RecordType::kSnapshot:
      return take_mark(record.data);
    case wire::RecordType::kCrc:
      break;
  }
  return absl::OkStatus();
}

absl::Status Follower::take_entry(const LogReader::Record& record) {
  absl::StatusOr<raft::Entry> entry = wire::decode_entry(record.block, record.data);
  if (!entry.ok() || wire::wire_size(*entry) != record.data.size()) {
    return damaged(reader_->segment().path, reader_->record_offset(), "no entry");
  }
  const std::optional<Index> unfinished = std::exchange(unfinished_mark_, std::nullopt);
  if (unfinished && *unfinished < entry->index) return replaced(*unfinished);
  if (entry->index <= handed_) {
    // Of before; or a lost leader's, in whose place ours stands again further on.
    held_.clear();
    if (entry->index == behind_.index && handed_ == behind_.index) {
      take_behind(entry->term, sum_of(*entry));
    }
    return absl::OkStatus();
  }
  const uint64_t place = entry->index - handed_ - 1;
  if (place > held_.size()) {
    return absl::OutOfRangeError(to_absl(
        cat("wal: the entries before ", entry->index.value, " are not in ", dir_, " any more")));
  }
  held_.resize(place);
  held_.push_back(*std::move(entry));
  return absl::OkStatus();
}

// A mark of the member's own stands behind the entries that it is about. One that a snapshot left
// stands in their place, or in the place of others.
absl::Status Follower::take_mark(std::string_view data) {
  absl::StatusOr<wire::WalSnapshot> mark = wire::decode_wal_snapshot(data);
  if (!mark.ok()) {
    return damaged(reader_->segment().path, reader_->record_offset(), "no snapshot mark");
  }
  if (mark->index <= handed_) {
    if (!met_behind_ && mark->index == behind_.index) take_behind(mark->term, std::nullopt);
    return absl::OkStatus();
  }
  const raft::Entry* same = held_at(mark->index);
  if (same && same->term == mark->term) return absl::OkStatus();
  if (mark->index <= said_commit_) return replaced(mark->index);
  unfinished_mark_ = std::max(unfinished_mark_.value_or(Index(0)), mark->index);
  return absl::OkStatus();
}

absl::Status Follower::replaced(Index mark) {
  return absl::OutOfRangeError(
      to_absl(cat("wal: a snapshot at entry ", mark.value, " took the place of what was before")));
}

// The entry may have been another one first, and ours later: what comes last counts.
void Follower::take_behind(Term term, std::optional<uint32_t> sum) {
  met_behind_ = term == behind_.term && (!sum || !behind_.sum || *sum == *behind_.sum);
}

}  // namespace keelson::wal
