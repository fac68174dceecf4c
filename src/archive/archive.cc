// What is done from second to second: look, copy, note, and write a snapshot in between.

#include "archive/archive.h"

#include <algorithm>

#include "archive/state_revision.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "wire/raft_codec.h"

namespace keelson::archive {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(1);
// Said again although nothing has happened, so that a quiet hour can be told from a missing one.
constexpr int64_t kNoteEveryMs = 60'000;
constexpr Duration kPruneEvery = std::chrono::minutes(1);
// What is known to be there should come at once.
constexpr Duration kStuck = std::chrono::seconds(30);
constexpr Duration kMostBackoff = std::chrono::minutes(1);
constexpr Duration kSnapshotAgain = std::chrono::minutes(1);

constexpr uint64_t kBatchBytes = 1 << 20;
// Between two rests.
constexpr uint64_t kCopyBytes = 4 << 20;
constexpr uint64_t kSnapshotSlice = 512 << 10;
// A snapshot for so much log, and for as much as the last one is large.
constexpr uint64_t kSnapshotBytes = uint64_t{1} << 30;

const Clock& system_clock() {
  static const SystemClock* const instance = new SystemClock;
  return *instance;
}

}  // namespace

Archive::Archive(Member& member, Options options)
    : member_(member),
      options_(std::move(options)),
      fs_(options_.fs ? *options_.fs : *wal::posix_file_system()),
      clock_(options_.clock ? *options_.clock : system_clock()) {}

Archive::~Archive() = default;

Duration Archive::step() {
  const MonotonicTime now = clock_.now();
  if (now < not_before_) return not_before_ - now;
  absl::StatusOr<Duration> rest = work(now);
  if (!rest.ok()) return fail(rest.status(), now);
  if (stretch_ && backoff_ > Duration(0)) {
    log::info("the archive goes on", {{"dir", options_.dir}});
    backoff_ = Duration(0);
    told_.clear();
  }
  counts_.healthy = stretch_ != nullptr && !lacks_snapshot() && !short_of_space_;
  return *rest;
}

// Everything is looked at anew next time: what became of it, nobody knows.
Duration Archive::fail(const absl::Status& why, MonotonicTime now) {
  CHECK(!why.ok());
  ++counts_.failures;
  counts_.healthy = false;
  if (std::string text(message_of(why)); text != told_) {
    log::error("the archive does not get on; it tries again",
               {{"dir", options_.dir}, {"error", text}});
    told_ = std::move(text);
  }
  let_go();
  // A directory that is not this archive's: nothing of the log is waited for.
  if (absl::IsFailedPrecondition(why)) member_.need_log_from(Index(UINT64_MAX));
  backoff_ = std::clamp<Duration>(2 * backoff_, kLookEvery, kMostBackoff);
  not_before_ = now + backoff_;
  return backoff_;
}

void Archive::let_go() {
  writer_.reset();
  written_ = false;
  follower_.reset();
  stretch_.reset();
  marker_.reset();
  target_.reset();
  stuck_since_.reset();
  batch_.clear();
  batch_bytes_ = 0;
}

absl::StatusOr<Duration> Archive::work(MonotonicTime now) {
  if (!marker_) {
    if (absl::Status s = open_directory(); !s.ok()) return s;
  }
  if (!stretch_ && !begin_anew_) {
    if (absl::Status s = resume(); !s.ok()) return s;
  }
  if (!stretch_) {
    if (absl::Status s = begin(now); !s.ok()) return s;
    if (!stretch_) return kLookEvery;
  }
  if (now >= next_prune_) {
    next_prune_ = now + kPruneEvery;
    if (absl::Status s = prune(false); !s.ok()) return s;
  }
  Duration wait = kLookEvery;
  if (target_) {
    absl::StatusOr<Duration> copied = copy_some();
    if (!copied.ok()) return copied;
    wait = *copied;
  } else if (now >= next_look_) {
    absl::StatusOr<Duration> looked = look(now);
    if (!looked.ok()) return looked;
    wait = *looked;
  } else {
    wait = next_look_ - now;
  }
  if (writer_ && !short_of_space_) {
    const MonotonicTime start = clock_.now();
    if (absl::Status s = write_snapshot(); !s.ok()) return s;
    // Rests as long as it works.
    if (writer_ && !written_) wait = std::min(wait, clock_.now() - start);
  }
  return wait;
}

// What a state says of itself. The clock is read after the state was: all of it was applied by
// then.
absl::StatusOr<Moment> Archive::moment_of(const backend::Snapshot& state) const {
  absl::StatusOr<int64_t> revision = state_revision(state);
  if (!revision.ok()) return revision.status();
  const auto unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.unix_time());
  return Moment{unix_ms.count(), state.consistent_index(), state.consistent_term(), *revision};
}

absl::StatusOr<Duration> Archive::look(MonotonicTime now) {
  CHECK(!target_);
  next_look_ = now + kLookEvery;
  if (lacks_space()) return wait_for_space("the disk is nearly full");
  std::shared_ptr<const backend::Snapshot> state = member_.state();
  absl::StatusOr<Moment> moment = moment_of(*state);
  if (!moment.ok()) return moment.status();
  // A member that starts has its log before it has its state.
  if (moment->index < stretch_->last().index) return kLookEvery;
  const std::optional<Moment>& noted = stretch_->noted();
  const bool is_new = !noted || noted->index < moment->index ||
                      std::abs(moment->unix_ms - noted->unix_ms) >= kNoteEveryMs;
  if (wants_snapshot(*moment) && now >= no_snapshot_before_) {
    writer_ =
        std::make_unique<SnapshotWriter>(fs_, stretch_->path(), std::move(state), moment->revision);
    written_ = false;
    KEELSON_FAILPOINT("archive_snapshot_begun");
  } else if (!is_new) {
    has_space();  // nothing is to be written that would tell
    is_whole(moment->unix_ms);
    return kLookEvery;
  }
  target_ = *moment;
  return copy_some();
}

bool Archive::wants_snapshot(const Moment& now) const {
  if (writer_) return false;
  const std::optional<SnapshotName>& newest = stretch_->newest();
  if (!newest) return true;
  if (now.index <= newest->index) return false;
  auto time = snapshot_times_.find({stretch_->number(), newest->index});
  if (time == snapshot_times_.end()) return true;
  const std::chrono::milliseconds age(std::abs(now.unix_ms - time->second));
  if (age >= options_.snapshot_interval) return true;
  const uint64_t least =
      options_.max_bytes == 0 ? kSnapshotBytes : std::min(kSnapshotBytes, options_.max_bytes / 4);
  return stretch_->bytes_since_newest() >= std::max(least, newest_bytes_);
}

// Brings what is committed from the member's log into the archive's, up to the target at most.
absl::StatusOr<Duration> Archive::copy_some() {
  CHECK(target_.has_value());
  const MonotonicTime start = clock_.now();
  bool more = true;
  for (uint64_t copied = 0; more && copied < kCopyBytes;) {
    absl::StatusOr<bool> gathered = gather();
    if (!gathered.ok()) {
      if (!stretch_) return Duration(0);  // it ended
      return gathered.status();
    }
    more = *gathered;
    if (batch_.empty()) break;
    if (lacks_space()) return wait_for_space("the disk is nearly full");
    absl::Status appended = stretch_->append(batch_);
    if (absl::IsResourceExhausted(appended)) return wait_for_space(message_of(appended));
    if (!appended.ok()) return appended;
    copied += batch_bytes_;
    batch_.clear();
    batch_bytes_ = 0;
  }
  absl::Status synced = stretch_->sync();
  if (absl::IsResourceExhausted(synced)) return wait_for_space(message_of(synced));
  if (!synced.ok()) return synced;
  has_space();
  counts_.index = stretch_->last().index.value;
  member_.need_log_from(stretch_->last().index);
  if (stretch_->last().index >= target_->index) {
    if (absl::Status s = reached(); !s.ok()) return s;
    return next_look_ > start ? next_look_ - start : Duration(0);
  }
  if (more) return clock_.now() - start;  // rests as long as it worked
  // It was applied, so it is in the log; unless it cannot be read there.
  if (!stuck_since_) stuck_since_ = start;
  if (start - *stuck_since_ < kStuck) return kLookEvery;
  end_stretch(absl::DataLossError(cat("entries behind ", stretch_->last().index.value,
                                      " cannot be read from ", options_.member_log, " (",
                                      message_of(follower_->end()), ")")));
  return Duration(0);
}

// Fills the batch. False: there is no more before the target. An error may be the stretch's end.
absl::StatusOr<bool> Archive::gather() {
  const wal::SnapshotMark applied{target_->index, target_->term};
  while (batch_bytes_ < kBatchBytes) {
    absl::StatusOr<std::optional<raft::Entry>> next = follower_->next(applied);
    const bool ends = absl::IsOutOfRange(next.status()) ||
                      absl::IsFailedPrecondition(next.status()) || absl::IsDataLoss(next.status());
    if (ends) end_stretch(next.status());
    if (!next.ok()) return next.status();
    if (!*next) return false;
    batch_bytes_ += wire::wire_size(**next);
    batch_.push_back(*std::move(*next));
    stuck_since_.reset();
  }
  return true;
}

absl::Status Archive::reached() {
  KEELSON_FAILPOINT("archive_before_note");
  if (absl::Status s = stretch_->note(*target_); !s.ok()) return s;
  is_whole(target_->unix_ms);
  show_noted();
  if (writer_ && writer_->index() == target_->index) {
    snapshot_times_[{stretch_->number(), writer_->index()}] = target_->unix_ms;
  }
  target_.reset();
  stuck_since_.reset();
  return absl::OkStatus();
}

bool Archive::lacks_snapshot() const { return stretch_ && !stretch_->newest(); }

void Archive::is_whole(int64_t unix_ms) {
  whole_ms_ = unix_ms;
  if (!lacks_snapshot()) counts_.whole_ms = unix_ms;
}

// What can be brought back: of a stretch without a snapshot nothing, however much log it has.
void Archive::show_noted() {
  counts_.restorable = !lacks_snapshot();
  const std::optional<Moment>& noted = stretch_->noted();
  if (!noted || lacks_snapshot()) return;
  counts_.whole_ms = whole_ms_;
  counts_.revision = noted->revision;
  counts_.unix_ms = noted->unix_ms;
}

// A failed one is begun anew later; the log goes on meanwhile.
absl::Status Archive::write_snapshot() {
  absl::Status status;
  if (!written_) {
    absl::StatusOr<bool> done = writer_->step(kSnapshotSlice);
    status = done.status();
    written_ = done.ok() && *done;
  }
  const bool noted = snapshot_times_.contains({stretch_->number(), writer_->index()});
  if (status.ok() && written_ && noted) {
    const SnapshotName name = writer_->name();
    status = stretch_->add(*writer_);
    if (status.ok()) {
      newest_bytes_ = writer_->size();
      log::info("archived a snapshot", {{"revision", name.revision},
                                        {"index", name.index.value},
                                        {"bytes", newest_bytes_},
                                        {"stretch", stretch_->number()}});
      writer_.reset();
      show_noted();
      return prune(false);
    }
    // What became of the stretch's log is not known.
    if (!absl::IsResourceExhausted(status)) return status;
  }
  if (status.ok()) return status;
  log::warn("the archive could not write a snapshot; it will try again",
            {{"error", message_of(status)}});
  ++counts_.failures;
  writer_.reset();
  written_ = false;
  no_snapshot_before_ = clock_.now() + kSnapshotAgain;
  return absl::OkStatus();
}

bool Archive::lacks_space() const { return options_.free_bytes() < options_.keep_free; }

void Archive::has_space() {
  if (!std::exchange(short_of_space_, false)) return;
  log::info("the archive has space again", {{"dir", options_.dir}});
}

// What may go goes, a snapshot a minute. The batch stays, and the member's log is held back for a
// while; a state is not.
Duration Archive::wait_for_space(std::string_view what) {
  if (!std::exchange(short_of_space_, true)) {
    log::error("no space for the archive: it waits until there is; free disk space",
               {{"dir", options_.dir}, {"error", what}});
  }
  counts_.healthy = false;
  const MonotonicTime now = clock_.now();
  if (writer_) {
    writer_.reset();
    written_ = false;
    no_snapshot_before_ = now + kSnapshotAgain;
  }
  if (now < next_relief_) return kLookEvery;
  next_relief_ = now + kPruneEvery;
  if (absl::Status s = prune(true); !s.ok()) {
    log::warn("cannot remove from the archive", {{"error", message_of(s)}});
  }
  return kLookEvery;
}

void Archive::finish(Duration patience) {
  const MonotonicTime until = clock_.now() + patience;
  if (!lacks_snapshot()) writer_.reset();
  const bool fine = finish_log(until);
  if (fine && lacks_snapshot()) finish_snapshot(until);
  if (lacks_snapshot()) {
    log::warn(
        "the member ends before its archive's newest stretch has a snapshot: nothing can be "
        "restored from that stretch; the next start writes one",
        {{"dir", options_.dir},
         {"stretch", stretch_->number()},
         {"index", stretch_->last().index.value}});
  }
  if (stretch_) {
    absl::Status s = stretch_->close();
    if (!s.ok()) log::warn("the archive was not closed", {{"error", message_of(s)}});
  }
  let_go();
  not_before_ = MonotonicTime{Duration::max()};
  counts_.healthy = false;
}

// False: it does not get on.
bool Archive::finish_log(MonotonicTime until) {
  if (stretch_ && !target_) next_look_ = clock_.now();
  if (!lacks_snapshot()) no_snapshot_before_ = MonotonicTime{Duration::max()};
  while (stretch_ && clock_.now() < until) {
    const bool looked = !target_;
    absl::StatusOr<Duration> rest = looked ? look(clock_.now()) : copy_some();
    if (!rest.ok() || short_of_space_) return false;
    if (!target_) break;
    if (!looked && *rest >= kLookEvery) return false;
  }
  return true;
}

// Without rests.
void Archive::finish_snapshot(MonotonicTime until) {
  while (writer_ && clock_.now() < until) {
    const bool waits = written_;
    if (!write_snapshot().ok()) break;
    if (waits && writer_) break;  // for the log
  }
}

}  // namespace keelson::archive
