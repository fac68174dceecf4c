#include "interchange/log_copy.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "interchange/change_over.h"
#include "interchange/etcd_version.h"
#include "interchange/store_maker.h"
#include "proto/raft_internal.pb.h"
#include "wal/record_buffer.h"
#include "wal/wal.h"
#include "wire/raft_codec.h"

namespace keelson::interchange {
namespace {

constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kKeptBytes = 16 << 20;

// What it takes in a log, at most.
uint64_t bytes_of(const raft::Entry& entry) { return wal::framed_bound(wire::wire_size(entry)); }
uint64_t bytes_of(const wire::WalSnapshot& mark) {
  constexpr uint64_t kWithItsState = 256;
  return wire::encode(mark).size() + kWithItsState;
}

// The entry's payload, its cluster version lowered to the given one if it sets a higher one.
Bytes lowered(const Bytes& data, int minor) {
  etcdserverpb::InternalRaftRequest request;
  if (!request.ParseFromArray(data.data(), static_cast<int>(data.size()))) return data;
  if (!request.has_cluster_version_set()) return data;
  const std::optional<int> named = minor_of(request.cluster_version_set().ver());
  if (!named || *named <= minor) return data;
  request.mutable_cluster_version_set()->set_ver(version_of(minor));
  return Bytes::copy(request.SerializeAsString());
}

// What the operator does about an entry that cannot be applied: its effects, if it has any, get
// into the state where it was written, and it is not needed any more.
absl::Status not_applicable(const raft::Entry& entry, const std::string& why, AppliedBy by) {
  const std::string_view former =
      by == AppliedBy::kKeelson
          ? "Start the etcd that wrote it once more on this directory, as a member of its "
            "cluster, wait until it serves, stop it in order (SIGTERM)"
          : "Start keelson once more on this directory, wait until it serves, stop it in order "
            "(SIGTERM)";
  return absl::FailedPreconditionError(cat(
      "interchange: nothing was changed, because the log has a request past the database that "
      "could not be applied afterwards: entry ",
      entry.index.value, " of term ", entry.term.value, " ", why, ". ", former, ", and try again"));
}

// What the log has at or below the state: whether it can be copied, and its marks.
class ReadingHistory {
 public:
  ReadingHistory(const LogCopy& copy, Term term) : copy_(copy), term_(term) {}

  absl::StatusOr<LogHistory> run() {
    absl::StatusOr<wal::History> log =
        wal::read_history(copy_.from, [this](const raft::Entry& entry) { return take(entry); });
    if (!log.ok()) return log.status();
    if (last_ == copy_.index && newest_ != term_) return among_others(last_, newest_);
    history_.first = log->first;
    take_marks(std::move(log->marks));
    for (Index leap : leaps_) {
      if (is_marked(leap)) continue;
      return absl::DataLossError(
          cat("interchange: entries of the log are missing, up to ", leap.value));
    }
    return std::move(history_);
  }

 private:
  absl::Status take(const raft::Entry& entry) {
    if (entry.index > copy_.index) return absl::OkStatus();
    if (entry.term < newest_ || entry.term > term_) return among_others(entry.index, entry.term);
    if (last_ != Index(0) && entry.index != last_ + 1) leaps_.push_back(entry.index - 1);
    newest_ = entry.term;
    last_ = entry.index;
    history_.bytes += bytes_of(entry);
    return absl::OkStatus();
  }

  absl::Status among_others(Index index, Term term) const {
    return absl::DataLossError(cat("interchange: entry ", index.value, " of the log is of term ",
                                   term.value, ", and stands among others of terms ", newest_.value,
                                   " and ", term_.value));
  }

  bool is_marked(Index index) const {
    return std::any_of(history_.marks.begin(), history_.marks.end(),
                       [&](const wire::WalSnapshot& mark) { return mark.index == index; });
  }

  void take_marks(std::vector<wire::WalSnapshot> marks) {
    std::erase_if(marks, [&](const wire::WalSnapshot& mark) {
      return mark.index < history_.first.first_index || mark.index == Index(0) ||
             mark.index >= copy_.index || mark.term > term_;
    });
    std::stable_sort(marks.begin(), marks.end(),
                     [](const auto& a, const auto& b) { return a.index < b.index; });
    // One may be there twice.
    marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
    for (const wire::WalSnapshot& mark : marks) history_.bytes += bytes_of(mark);
    history_.marks = std::move(marks);
  }

  const LogCopy& copy_;
  const Term term_;  // of the entry at copy_.index
  LogHistory history_;
  std::vector<Index> leaps_;  // to behind these: there a mark must be, to be copied in between
  Index last_;                // entry that was read, and its term
  Term newest_;
};

class Checking {
 public:
  explicit Checking(const LogCopy& copy) : copy_(copy), rights_count_(copy.rights_count) {
    checked_.entries.emplace();
    if (copy.index == copy.mark.index) checked_.term = copy.mark.term;
  }

  absl::StatusOr<CheckedLog> run() {
    absl::StatusOr<wal::Contents> log =
        wal::read(copy_.from, {copy_.mark.index, copy_.mark.term},
                  [this](const raft::Entry& entry) { return take(entry); });
    if (!log.ok()) return log.status();
    checked_.metadata = log->metadata;
    checked_.state = log->state;
    if (checked_.term != Term(0)) look_at_history();
    return std::move(checked_);
  }

 private:
  absl::Status take(const raft::Entry& entry) {
    if (entry.index == copy_.index) checked_.term = entry.term;
    if (entry.index <= copy_.index) return absl::OkStatus();
    const std::string why = cannot_be_applied(entry, copy_.applied_by);
    if (!why.empty()) return not_applicable(entry, why, copy_.applied_by);
    rights_count_ |= turns_rights_on(entry);
    if (leaves_ranges_out() && may_be_done_otherwise(entry, rights_count_)) {
      return not_applicable(entry,
                            "is a transaction that may be refused for what it reads, which etcd "
                            "3.5 and 3.6 would carry out",
                            copy_.applied_by);
    }
    checked_.bytes += bytes_of(entry);
    if (checked_.entries) keep(entry);
    return absl::OkStatus();
  }

  void look_at_history() {
    absl::StatusOr<LogHistory> history = ReadingHistory(copy_, checked_.term).run();
    if (history.ok()) {
      checked_.history = *std::move(history);
      return;
    }
    log::warn("what the log has of before the database cannot be read, and is left out",
              {{"wal-dir", copy_.from}, {"error", message_of(history.status())}});
  }

  bool leaves_ranges_out() const {
    return copy_.applied_by == AppliedBy::kEtcd35 || copy_.applied_by == AppliedBy::kEtcd36;
  }

  // A copy, as the entry's data are part of a larger block of the log.
  void keep(const raft::Entry& entry) {
    bytes_ += sizeof entry + entry.data.size();
    if (bytes_ > kKeptBytes) return checked_.entries.reset();
    checked_.entries->push_back(entry);
    checked_.entries->back().data = Bytes::copy(entry.data);
  }

  const LogCopy& copy_;
  bool rights_count_;  // by now
  CheckedLog checked_;
  size_t bytes_ = 0;  // of checked_.entries; <= kKeptBytes while there are some
};

class Copying {
 public:
  Copying(const LogCopy& copy, CheckedLog checked) : copy_(copy), checked_(std::move(checked)) {}

  absl::StatusOr<CopiedLog> run() {
    if (checked_.term == Term(0) && copy_.index != Index(0)) {
      return absl::DataLossError(cat("interchange: the log in ", copy_.from,
                                     " does not reach entry ", copy_.index.value,
                                     ", whose effects the database has"));
    }
    result_.term = checked_.term;
    absl::Status s = open();
    if (s.ok() && checked_.history) s = copy_history();
    if (s.ok() && copy_.index != Index(0)) s = mark_state();
    if (s.ok()) s = take_all();
    if (!s.ok()) return s;
    raft::HardState state = checked_.state;
    // What the state holds was committed.
    state.commit = std::max(state.commit, copy_.index);
    state.term = std::max(state.term, result_.term);
    s = write(state);
    if (s.ok()) s = log_->sync();
    if (s.ok()) s = log_->close();
    if (!s.ok()) return s;
    return result_;
  }

 private:
  absl::Status open() {
    absl::StatusOr<wire::WalMetadata> metadata = wire::decode_wal_metadata(checked_.metadata);
    if (!metadata.ok()) return metadata.status();
    result_.metadata = *metadata;
    absl::StatusOr<std::unique_ptr<wal::Wal>> log =
        wal::Wal::create(copy_.to, checked_.metadata, {.segment_bytes = copy_.segment_bytes},
                         checked_.history ? checked_.history->first : wal::SegmentName());
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }

  absl::Status mark_state() {
    term_ = result_.term;
    return log_->save_snapshot({copy_.index, result_.term}, copy_.conf_state);
  }

  absl::Status copy_history() {
    absl::Status s;
    if (copy_.applied_by == AppliedBy::kKeelson) s = mark_state();
    if (!s.ok()) return s;
    s = wal::read_history(copy_.from, [this](raft::Entry entry) {
          return take_of_before(std::move(entry));
        }).status();
    if (s.ok()) s = write_marks_below(copy_.index);
    return s.ok() ? write_of_before() : s;
  }

  absl::Status take_of_before(raft::Entry entry) {
    if (entry.index > copy_.index || entry.index < checked_.history->first.first_index) {
      return absl::OkStatus();
    }
    if (absl::Status s = write_marks_below(entry.index); !s.ok()) return s;
    if (entry.index > next_after_history()) {
      return absl::DataLossError(cat("interchange: entries are missing in ", copy_.from,
                                     " before entry ", entry.index.value));
    }
    bytes_ += entry.data.size();
    batch_.push_back(std::move(entry));
    ++result_.entries_of_before;
    return bytes_ < kBatchBytes ? absl::OkStatus() : write_of_before();
  }

  Index next_after_history() const {
    return (batch_.empty() ? log_->last_index() : batch_.back().index) + 1;
  }

  absl::Status write_marks_below(Index index) {
    const std::vector<wire::WalSnapshot>& marks = checked_.history->marks;
    for (; marks_ < marks.size() && marks[marks_].index < index; ++marks_) {
      absl::Status s = write_of_before();
      const wire::WalSnapshot& mark = marks[marks_];
      term_ = std::max(term_, mark.term);
      if (s.ok()) {
        s = log_->save_snapshot({mark.index, mark.term},
                                mark.conf_state.value_or(raft::ConfState()));
      }
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // All of it is committed. Said on the way, so that whoever reads it need not hold it back.
  absl::Status write_of_before() {
    if (batch_.empty()) return absl::OkStatus();
    term_ = std::max(term_, batch_.back().term);
    return write({term_, raft::kNobody, batch_.back().index});
  }

  absl::Status take_all() {
    if (!checked_.entries) {
      return wal::read(copy_.from, {copy_.mark.index, copy_.mark.term},
                       [this](raft::Entry entry) { return take(std::move(entry)); })
          .status();
    }
    for (raft::Entry& entry : *checked_.entries) {
      if (absl::Status s = take(std::move(entry)); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status take(raft::Entry entry) {
    if (entry.index <= copy_.index) return absl::OkStatus();
    if (copy_.minor && entry.type == raft::EntryType::kNormal) {
      entry.data = lowered(entry.data, *copy_.minor);
    }
    bytes_ += entry.data.size();
    batch_.push_back(std::move(entry));
    ++result_.entries;
    return bytes_ < kBatchBytes ? absl::OkStatus() : write({});
  }

  absl::Status write(const raft::HardState& state) {
    absl::Status s = log_->append(state, batch_);
    batch_.clear();
    bytes_ = 0;
    return s;
  }

  const LogCopy& copy_;
  CheckedLog checked_;
  CopiedLog result_;
  std::unique_ptr<wal::Wal> log_;
  std::vector<raft::Entry> batch_;
  size_t bytes_ = 0;  // of batch_
  // Of the history: the marks that were written, and the newest term.
  size_t marks_ = 0;
  Term term_;
};

}  // namespace

absl::StatusOr<CheckedLog> check_log(const LogCopy& copy) {
  CHECK(copy.mark.index <= copy.index);
  return Checking(copy).run();
}

void fit_history(const LogCopy& copy, uint64_t beside, const std::string& beside_at,
                 CheckedLog* checked) {
  if (!checked->history) return;
  uint64_t needed = kLogSpace + checked->bytes + checked->history->bytes;
  if (same_disk(copy.to, beside_at)) needed += beside;
  const uint64_t there = free_space(copy.to);
  if (there >= needed) return;
  log::warn("not enough disk space for what the log has of before the database; it is left out",
            {{"wal-dir", copy.from}, {"needed", size_text(needed)}, {"free", size_text(there)}});
  checked->history.reset();
}

absl::StatusOr<CopiedLog> copy_log(const LogCopy& copy, CheckedLog checked) {
  CHECK(copy.mark.index <= copy.index);
  return Copying(copy, std::move(checked)).run();
}

}  // namespace keelson::interchange
