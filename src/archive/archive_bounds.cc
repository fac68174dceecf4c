// What goes, and what is never removed.

#include <algorithm>

#include "archive/archive.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"

namespace keelson::archive {

// The oldest snapshot, with the log up to the next, if there is more than the bounds allow; never
// the newest and what follows it. For space one is removed whatever the bounds say. One at a time,
// and a minute apart or for one that came: a clock that jumps, or a bound that was mistyped, does
// not cost all history before somebody sees it.
absl::Status Archive::prune(bool for_space) {
  absl::StatusOr<Inventory> there = take_stock();
  if (!there.ok()) return there.status();
  const bool may_go = there->snapshots().size() > 1;
  if (!too_much(*there) && !(for_space && may_go)) return absl::OkStatus();
  if (absl::Status s = remove_oldest(*there); !s.ok()) return s;
  return take_stock().status();
}

absl::StatusOr<Inventory> Archive::take_stock() {
  absl::StatusOr<Inventory> there = inventory_of(fs_, options_.dir);
  if (!there.ok()) return there;
  if (absl::Status s = remove_useless(&*there); !s.ok()) return s;
  const std::vector<StoredSnapshot> snapshots = there->snapshots();
  counts_.bytes = there->bytes;
  counts_.snapshots = snapshots.size();
  for (const StoredSnapshot& snapshot : snapshots) {
    if (stretch_ && snapshot.stretch == stretch_->number() && snapshot.name == stretch_->newest()) {
      newest_bytes_ = snapshot.bytes;
      time_of(snapshot.stretch, snapshot.name);
    }
  }
  counts_.snapshot_ms =
      snapshots.empty() ? 0 : time_of(snapshots.back().stretch, snapshots.back().name);
  return there;
}

// A stretch without a snapshot is of no use, unless it may still get one.
absl::Status Archive::remove_useless(Inventory* there) {
  std::vector<StoredStretch>& stretches = there->stretches;
  const auto useless = [&](const StoredStretch& stretch) {
    const bool is_open = stretch_ && stretch.number == stretch_->number();
    return stretch.snapshots.empty() && !is_open && stretch.number != stretches.back().number;
  };
  for (size_t i = 0; i < stretches.size();) {
    if (!useless(stretches[i])) {
      ++i;
      continue;
    }
    absl::Status s = remove_stretch(fs_, stretch_path(options_.dir, stretches[i].number));
    if (!s.ok()) return s;
    there->bytes -= stretches[i].bytes;
    stretches.erase(stretches.begin() + static_cast<ptrdiff_t>(i));
  }
  return absl::OkStatus();
}

bool Archive::too_much(const Inventory& there) {
  const std::vector<StoredSnapshot> snapshots = there.snapshots();
  const bool too_large = options_.max_bytes != 0 && there.bytes > options_.max_bytes;
  if (snapshots.size() <= 1) {
    if (too_large && !std::exchange(told_too_large_, true)) {
      log::warn("the archive is larger than it may be: the newest snapshot, and the log since",
                {{"size", size_text(there.bytes)}, {"allowed", size_text(options_.max_bytes)}});
    }
    return false;
  }
  if (too_large) return true;
  told_too_large_ = false;
  if (options_.max_snapshots != 0 && snapshots.size() > options_.max_snapshots) return true;
  if (options_.max_age == Duration(0)) return false;
  // As long as the next one is younger, the oldest is what reaches back that far.
  const int64_t now =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.unix_time()).count();
  const std::chrono::milliseconds age(now - time_of(snapshots[1].stretch, snapshots[1].name));
  return age > options_.max_age;
}

absl::Status Archive::remove_oldest(const Inventory& there) {
  const std::vector<StoredSnapshot> snapshots = there.snapshots();
  CHECK(snapshots.size() > 1);
  const StoredSnapshot &oldest = snapshots[0], &next = snapshots[1];
  const std::string path = stretch_path(options_.dir, oldest.stretch);
  const bool is_open = stretch_ && oldest.stretch == stretch_->number();
  if (is_open && oldest.stretch != next.stretch) {
    return absl::FailedPreconditionError(cat("archive: somebody has put ",
                                             stretch_path(options_.dir, next.stretch),
                                             " there; an archive's directory is its own"));
  }
  log::info("removing the oldest snapshot from the archive",
            {{"stretch", oldest.stretch}, {"revision", oldest.name.revision}});
  absl::Status s = fs_.unlink(cat(path, "/", to_string(oldest.name)));
  if (!s.ok() && !absl::IsNotFound(s)) return s;
  snapshot_times_.erase({oldest.stretch, oldest.name.index});
  KEELSON_FAILPOINT("archive_snapshot_removed");
  if (oldest.stretch != next.stretch) return remove_stretch(fs_, path);
  if (is_open) {
    stretch_->forget_before(next.name);
  } else {
    forget_before(fs_, path, next.name);
  }
  return absl::OkStatus();
}

// What the times say of a snapshot; of one that they do not know, that it is new.
int64_t Archive::time_of(uint64_t stretch, const SnapshotName& snapshot) {
  const auto known = snapshot_times_.find({stretch, snapshot.index});
  if (known != snapshot_times_.end()) return known->second;
  int64_t time = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.unix_time()).count();
  absl::StatusOr<std::vector<Moment>> moments =
      read_times(fs_, stretch_path(options_.dir, stretch));
  if (moments.ok()) {
    for (const Moment& moment : *moments) {
      if (moment.index < snapshot.index) continue;
      time = moment.unix_ms;
      break;
    }
  }
  snapshot_times_[{stretch, snapshot.index}] = time;
  return time;
}

}  // namespace keelson::archive
