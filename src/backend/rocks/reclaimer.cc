#include "backend/rocks/reclaimer.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "backend/rocks/live_tables.h"
#include "backend/rocks/options.h"
#include "backend/rocks/status.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "base/time_text.h"
#include "rocksdb/db.h"

namespace keelson::backend::rocks {
namespace {

// Less than this is not worth a file.
constexpr uint64_t kLeast = 4 << 20;
constexpr uint64_t kLeastNearQuota = 256 << 10;
// Dead of raw: 1 / kShare, and 1 / kShareNearQuota past half of the quota.
constexpr uint64_t kShare = 4;
constexpr uint64_t kShareNearQuota = 20;
// How often RocksDB's own merges come first: for five minutes.
constexpr int kMostOtherMerges = 20 * 60 * 5;

}  // namespace

bool worth_reclaiming(const KeySpace& space, uint64_t live, uint64_t known_stuck, uint64_t quota) {
  const uint64_t dead = space.dead(live);
  if (dead <= known_stuck) return false;
  const uint64_t gain = dead - known_stuck;
  const bool near_quota = space.physical() > quota / 2;
  const uint64_t least = near_quota ? kLeastNearQuota : kLeast;
  const uint64_t share = near_quota ? kShareNearQuota : kShare;
  return gain >= least && gain >= space.raw / share;
}

Reclaimer::Reclaimer(rocksdb::DB* db, const Families& families, Flusher* flusher, SpaceUse* space,
                     const Reserve* reserve, uint64_t quota, uint64_t step_bytes,
                     const Waits& waits)
    : db_(*db),
      families_(families),
      flusher_(*flusher),
      space_(*space),
      reserve_(*reserve),
      quota_(quota),
      step_bytes_(step_bytes),
      waits_(waits),
      worker_("backend-reclaim", waits,
              [this](bool asked) { return asked ? defragment() : look(); }) {}

// Logged as etcd logs it.
absl::Status Reclaimer::defragment() {
  const auto start = std::chrono::steady_clock::now();
  const uint64_t size = space_.size(), in_use = space_.size_in_use();
  log::info("defragmenting", {{"path", db_.GetName()},
                              {"current-db-size-bytes", size},
                              {"current-db-size", size_text(size)},
                              {"current-db-size-in-use-bytes", in_use},
                              {"current-db-size-in-use", size_text(in_use)}});
  if (absl::Status s = KEELSON_FAILPOINT_STATUS("backend_defragment"); !s.ok()) return s;
  if (absl::Status merged = merge(true); !merged.ok()) return merged;
  const uint64_t size_now = space_.size(), in_use_now = space_.size_in_use();
  log::info("finished defragmenting directory",
            {{"path", db_.GetName()},
             {"current-db-size-bytes-diff", static_cast<int64_t>(size_now - size)},
             {"current-db-size-bytes", size_now},
             {"current-db-size", size_text(size_now)},
             {"current-db-size-in-use-bytes-diff", static_cast<int64_t>(in_use_now - in_use)},
             {"current-db-size-in-use-bytes", in_use_now},
             {"current-db-size-in-use", size_text(in_use_now)},
             {"took", duration_text(std::chrono::steady_clock::now() - start)}});
  return absl::OkStatus();
}

uint64_t Reclaimer::quota_now() const { return reserve_.is_short() ? 0 : quota_; }

// A step needs room for what it keeps beside what is there.
uint64_t Reclaimer::step_bytes_now() const {
  return reserve_.is_short() ? std::min(step_bytes_, reserve_.bytes() / 2) : step_bytes_;
}

absl::Status Reclaimer::look() {
  const KeySpace before = space_.key_space();
  const uint64_t dead = before.dead(space_.live_bytes());
  known_stuck_ = std::min(known_stuck_, dead);
  if (!worth_reclaiming(before, space_.live_bytes(), known_stuck_, quota_now())) {
    return absl::OkStatus();
  }
  const auto start = std::chrono::steady_clock::now();
  absl::Status status = merge(before.physical() <= step_bytes_now());
  if (!status.ok()) {
    // Nothing is lost by it; deletes to come, and full disks that are no longer full, try again.
    if (absl::IsCancelled(status)) return status;
    worker_.soon();
    if (!std::exchange(warned_, true)) {
      log::warn("backend: space was not given back", {{"error", message_of(status)}});
    }
    return status;
  }
  warned_ = false;
  const KeySpace after = space_.key_space();
  known_stuck_ = after.dead(space_.live_bytes());
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  log::info("backend: gave space back", {{"size-before", before.physical()},
                                         {"size-after", after.physical()},
                                         {"dead-before", dead},
                                         {"took-ms", took.count()}});
  return absl::OkStatus();
}

absl::StatusOr<Levels> Reclaimer::key_levels() const {
  rocksdb::ColumnFamilyHandle* family = families_[static_cast<size_t>(Bucket::kKey)];
  absl::StatusOr<std::vector<LiveTable>> tables = live_tables(db_, family);
  if (!tables.ok()) return tables.status();
  Levels levels(static_cast<size_t>(db_.NumberLevels(family)));
  for (const LiveTable& table : *tables) {
    TableFile& to = levels.at(static_cast<size_t>(table.level)).emplace_back();
    to.name = table.file.relative_filename;
    to.smallest = table.file.smallestkey;
    to.largest = table.file.largestkey;
    to.bytes = table.file.size;
    if (!table.properties) continue;  // the newest; the next look counts its deletions
    to.entries = table.properties->num_entries;
    to.deletions = table.properties->num_deletions;
  }
  return levels;
}

absl::Status Reclaimer::merge_files(const MergeStep& step) {
  rocksdb::CompactionOptions options;
  options.compression = rocksdb::kDisableCompressionOption;  // the family's own
  options.output_file_size_limit = kTargetFileSize;
  rocksdb::ColumnFamilyHandle* family = families_[static_cast<size_t>(Bucket::kKey)];
  rocksdb::Status merged = db_.CompactFiles(options, family, step.inputs, step.output_level);
  if (merged.IsAborted() || merged.IsInvalidArgument()) {
    return absl::AbortedError(merged.ToString());
  }
  if (merged.IsIncomplete() || merged.IsShutdownInProgress()) {
    return absl::CancelledError("backend: closing");
  }
  return to_status(merged, "giving back space");
}

absl::Status Reclaimer::merge(bool all) {
  KEELSON_FAILPOINT("backend_before_reclaim");
  if (absl::Status status = flush_and_wait(flusher_); !status.ok()) return status;
  MergePlan plan(step_bytes_now(), all);
  for (int in_the_way = 0; !worker_.stopping();) {
    absl::StatusOr<Levels> levels = key_levels();
    if (!levels.ok()) return levels.status();
    std::optional<MergeStep> step = plan.next(*levels);
    if (!step) {
      KEELSON_FAILPOINT("backend_after_reclaim");
      return absl::OkStatus();
    }
    absl::Status merged = merge_files(*step);
    if (absl::IsAborted(merged) && ++in_the_way < kMostOtherMerges) {
      if (!worker_.pause(waits_.for_other_merges())) break;
      continue;
    }
    if (!merged.ok()) return merged;
    plan.done(*step);
    in_the_way = 0;
  }
  return absl::CancelledError("backend: closing");
}

}  // namespace keelson::backend::rocks
