// Where an archive begins, and where it goes on.

#include <algorithm>

#include "archive/archive.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::archive {
namespace {

// A member whose log cannot be archived should not be copied over and over.
constexpr Duration kBeginAgain = std::chrono::minutes(1);

}  // namespace

// The directory is made once, when the archive begins: one that goes away later may be a disk that
// was taken out, and what is written then would land on another.
absl::Status Archive::open_directory() {
  const std::string path = marker_path(options_.dir);
  absl::StatusOr<std::unique_ptr<wal::File>> marker = fs_.open(path, wal::OpenMode::kReadWrite);
  if (absl::IsNotFound(marker.status()) && !was_there_) {
    if (absl::Status s = make_directory(); !s.ok()) return s;
    marker = fs_.open(path, wal::OpenMode::kReadWrite);
  }
  if (!marker.ok()) return marker.status();
  if (absl::Status s = (*marker)->try_lock(); !s.ok()) {
    if (!absl::IsUnavailable(s)) return s;
    return absl::FailedPreconditionError(cat("another process archives to ", options_.dir,
                                             "; each member needs a place of its own"));
  }
  std::string format(kFormat.size(), '\0');
  absl::StatusOr<size_t> got = (*marker)->pread(0, format.data(), format.size());
  if (!got.ok()) return got.status();
  if (format.substr(0, *got) != kFormat) {
    return absl::FailedPreconditionError(cat(path, " is of another version"));
  }
  marker_ = *std::move(marker);
  was_there_ = true;
  return absl::OkStatus();
}

absl::Status Archive::make_directory() {
  absl::StatusOr<std::vector<std::string>> there = fs_.list(options_.dir);
  if (!there.ok() && !absl::IsNotFound(there.status())) return there.status();
  // What an attempt before left is not whole.
  const std::string unfinished = cat(kMarker, kUnfinished);
  const auto foreign = [&](const std::string& name) {
    return name != unfinished && name != "lost+found";
  };
  if (there.ok() && std::any_of(there->begin(), there->end(), foreign)) {
    return absl::FailedPreconditionError(
        cat(options_.dir, " holds something, and is no archive; name a directory that is empty"));
  }
  if (absl::Status s = fs_.create_dirs(options_.dir); !s.ok()) return s;
  const std::string path = cat(options_.dir, "/", unfinished);
  absl::StatusOr<std::unique_ptr<wal::File>> marker = fs_.open(path, wal::OpenMode::kCreateEmpty);
  if (!marker.ok()) return marker.status();
  absl::Status s = (*marker)->pwrite(0, kFormat);
  if (s.ok()) s = (*marker)->fsync();
  if (s.ok()) s = fs_.rename(path, marker_path(options_.dir));
  if (s.ok()) s = fs_.sync_dir(options_.dir);
  const size_t slash = options_.dir.find_last_of('/');
  if (s.ok() && slash != std::string::npos && slash > 0) {
    s = fs_.sync_dir(options_.dir.substr(0, slash));
  }
  return s;
}

// The newest stretch goes on if it can; if not, a new one begins.
absl::Status Archive::resume() {
  absl::StatusOr<std::vector<uint64_t>> numbers = list_stretches(fs_, options_.dir);
  if (!numbers.ok()) return numbers.status();
  begin_anew_ = true;
  if (numbers->empty()) return absl::OkStatus();
  const Stretch::Place place{&fs_, options_.dir, numbers->back(), options_.segment_bytes};
  absl::StatusOr<std::unique_ptr<Stretch>> opened = Stretch::open(place);
  if (absl::IsNotFound(opened.status())) {
    return remove_stretch(fs_, stretch_path(options_.dir, place.number));
  }
  if (absl::IsDataLoss(opened.status())) {
    ++counts_.gaps;
    log::error("the archive cannot go on with its newest stretch, and begins another one",
               {{"error", message_of(opened.status())}});
    return absl::OkStatus();
  }
  if (!opened.ok()) {
    begin_anew_ = false;
    return opened.status();
  }
  absl::StatusOr<bool> continues = this->continues(**opened);
  if (!continues.ok()) {
    begin_anew_ = false;
    return continues.status();
  }
  if (!*continues) return (*opened)->close();
  stretch_ = *std::move(opened);
  begin_anew_ = false;
  counts_.index = stretch_->last().index.value;
  if (const std::optional<Moment>& noted = stretch_->noted()) {
    whole_ms_ = noted->unix_ms;
  }
  show_noted();
  member_.need_log_from(stretch_->last().index);
  log::info("the archive goes on where it ended", {{"dir", options_.dir},
                                                   {"stretch", stretch_->number()},
                                                   {"index", stretch_->last().index.value}});
  return absl::OkStatus();
}

// Whether the member's log has what follows; then it is followed.
absl::StatusOr<bool> Archive::continues(const Stretch& stretch) {
  if (stretch.owner() != options_.owner) {
    log::info("the archive's newest stretch is another member's; a new one begins",
              {{"member", cat(absl::Hex(stretch.owner().member.value))},
               {"cluster", cat(absl::Hex(stretch.owner().cluster.value))}});
    return false;
  }
  absl::StatusOr<std::unique_ptr<wal::Follower>> follower =
      wal::Follower::open(options_.member_log, stretch.last(), {.fs = &fs_});
  absl::Status fits = follower.status();
  // Reads up to what the archive has, and hands out nothing.
  if (fits.ok()) fits = (*follower)->next({stretch.last().index, stretch.last().term}).status();
  if (fits.ok()) {
    follower_ = *std::move(follower);
    return true;
  }
  if (absl::IsOutOfRange(fits) || absl::IsFailedPrecondition(fits) || absl::IsDataLoss(fits)) {
    ++counts_.gaps;
    log::warn("history is missing in the archive: it cannot go on where it ended",
              {{"stretch", stretch.number()},
               {"index", stretch.last().index.value},
               {"error", message_of(fits)}});
    return false;
  }
  return fits;
}

absl::Status Archive::begin(MonotonicTime now) {
  if (begun_ && now - *begun_ < kBeginAgain) return absl::OkStatus();
  if (lacks_space()) {
    wait_for_space("the disk is nearly full");
    return absl::OkStatus();
  }
  std::shared_ptr<const backend::Snapshot> state = member_.state();
  if (state->consistent_index() == Index(0)) return absl::OkStatus();
  absl::StatusOr<Moment> moment = moment_of(*state);
  if (!moment.ok()) return moment.status();
  absl::StatusOr<std::vector<uint64_t>> numbers = list_stretches(fs_, options_.dir);
  if (!numbers.ok()) return numbers.status();
  const uint64_t number = numbers->empty() ? 1 : numbers->back() + 1;
  // The log from here on, whatever was before.
  member_.need_log_from(moment->index);
  absl::StatusOr<std::unique_ptr<Stretch>> stretch = Stretch::begin(
      {&fs_, options_.dir, number, options_.segment_bytes}, options_.owner, *state, *moment);
  if (!stretch.ok()) return stretch.status();
  absl::StatusOr<std::unique_ptr<wal::Follower>> follower =
      wal::Follower::open(options_.member_log, (*stretch)->last(), {.fs = &fs_});
  if (!follower.ok()) return follower.status();
  begun_ = now;
  begin_anew_ = false;
  follower_ = *std::move(follower);
  stretch_ = *std::move(stretch);
  newest_bytes_ = 0;
  counts_.index = moment->index.value;
  whole_ms_ = moment->unix_ms;
  counts_.restorable = false;
  snapshot_times_[{number, moment->index}] = moment->unix_ms;
  writer_ =
      std::make_unique<SnapshotWriter>(fs_, stretch_->path(), std::move(state), moment->revision);
  written_ = false;
  log::info("the archive begins a new stretch", {{"dir", options_.dir},
                                                 {"stretch", number},
                                                 {"index", moment->index.value},
                                                 {"revision", moment->revision}});
  return absl::OkStatus();
}

// Behind what was archived so far something is missing.
void Archive::end_stretch(const absl::Status& why) {
  CHECK(stretch_ != nullptr);
  ++counts_.gaps;
  log::warn("history is missing in the archive: what follows begins with a snapshot",
            {{"stretch", stretch_->number()},
             {"index", stretch_->last().index.value},
             {"error", message_of(why)}});
  // What was read is as good as what was written; the rest of it is lost.
  if (!batch_.empty() && stretch_->append(batch_).ok()) stretch_->sync().IgnoreError();
  stretch_->close().IgnoreError();
  writer_.reset();
  written_ = false;
  stretch_.reset();
  follower_.reset();
  target_.reset();
  stuck_since_.reset();
  batch_.clear();
  batch_bytes_ = 0;
  begin_anew_ = true;
  member_.need_log_from(Index(UINT64_MAX));
}

}  // namespace keelson::archive
