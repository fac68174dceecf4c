#include "server/archiving.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "backend/held_snapshot.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "interchange/store_maker.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

// As nice(2).
constexpr int kNiceness = 10;
constexpr Duration kPatience = seconds(2);
constexpr Duration kMostPatience = seconds(10);
// Not well any more.
constexpr std::chrono::milliseconds kLate = std::chrono::minutes(1);
// The member may stand on the same disk.
constexpr uint64_t kMostKeptFree = uint64_t{1} << 30;
constexpr uint64_t kShareKeptFree = 16;

uint64_t keep_free(const std::string& dir) {
  for (fs::path at = fs::absolute(dir);; at = at.parent_path()) {
    std::error_code error;
    const fs::space_info disk = fs::space(at, error);
    if (!error) return std::min<uint64_t>(kMostKeptFree, disk.capacity / kShareKeptFree);
    if (at == at.parent_path()) return kMostKeptFree;
  }
}

archive::Options options_of(const Config& config, const node::Node& node) {
  const std::string dir = config.keelson_archive;
  return {.dir = dir,
          .member_log = config.effective_wal_dir(),
          .owner = {node.member(), node.cluster()},
          .snapshot_interval = config.keelson_archive_snapshot_interval,
          .max_age = config.keelson_archive_max_age,
          .max_bytes = config.keelson_archive_max_bytes,
          .max_snapshots = config.keelson_archive_max_snapshots,
          .keep_free = keep_free(dir),
          .free_bytes = [dir] { return interchange::free_space(dir); },
          .segment_bytes = config.keelson_wal_segment_bytes};
}

std::string whole(const std::string& path) {
  return (fs::absolute(path).lexically_normal() / "").lexically_normal().string();
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SystemClock().unix_time()).count();
}

void raise_to(http::Counter& counter, uint64_t value) {
  const auto shown = static_cast<uint64_t>(counter.value());
  if (value > shown) counter.add(value - shown);
}

}  // namespace

absl::Status check_archive_place(const Config& config) {
  if (config.keelson_archive.empty()) return absl::OkStatus();
  const std::string archive = whole(config.keelson_archive);
  for (const std::string& theirs :
       {whole(config.effective_data_dir()), whole(config.effective_wal_dir())}) {
    if (!archive.starts_with(theirs) && !theirs.starts_with(archive)) continue;
    return absl::InvalidArgumentError(cat("--keelson-archive ", config.keelson_archive,
                                          " must be apart from ", theirs,
                                          ": name another directory, best on another disk"));
  }
  return absl::OkStatus();
}

Archiving::Archiving(const Config& config, node::Node& node)
    : node_(node), started_ms_(now_ms()), archive_(*this, options_of(config, node)) {
  need_log_from(Index(0));  // until it is known how much of it is archived
}

Archiving::~Archiving() { CHECK(stop()); }

void Archiving::start() {
  CHECK(!thread_.joinable());
  thread_ = Thread([this] { run(); });
}

void Archiving::run() {
  pthread_setname_np(pthread_self(), "archive");
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const Duration wait = archive_.step();
    lock.lock();
    if (!stopping_) woken_.wait_for(lock, wait);
  }
  lock.unlock();
  archive_.finish(kPatience);
  lock.lock();
  ended_ = true;
  woken_.notify_all();
}

bool Archiving::stop() {
  if (!thread_.joinable()) return true;
  std::unique_lock lock(mutex_);
  stopping_ = true;
  woken_.notify_all();
  if (!woken_.wait_for(lock, kMostPatience, [this] { return ended_; })) {
    log::error("the archive's disk does not answer; the member ends without it");
    return false;
  }
  lock.unlock();
  thread_.join();
  return true;
}

std::shared_ptr<const backend::Snapshot> Archiving::state() {
  return backend::held_snapshot(node_.backend());
}

void Archiving::need_log_from(Index index) {
  node_.state().log_needed_from.store(index.value, std::memory_order_release);
}

// Grows whatever the archive's thread hangs in, and while nothing can be restored from what it has.
int64_t Archiving::lag_ms() const {
  const archive::Counts& counts = archive_.counts();
  const uint64_t applied = node_.state().applied;
  if (counts.index >= applied && (counts.restorable || applied == 0)) return 0;
  const int64_t whole = std::max<int64_t>(counts.whole_ms, started_ms_);
  return std::max<int64_t>(now_ms() - whole, 0);
}

void Archiving::show(http::Metrics& metrics) const {
  const archive::Counts& counts = archive_.counts();
  const int64_t lag = lag_ms();
  metrics.archive_healthy.set(counts.healthy && lag < kLate.count() ? 1 : 0);
  metrics.archive_index.set(static_cast<int64_t>(counts.index));
  metrics.archive_revision.set(counts.revision);
  metrics.archive_time_ms.set(counts.unix_ms);
  metrics.archive_lag_ms.set(lag);
  metrics.archive_bytes.set(static_cast<int64_t>(counts.bytes));
  metrics.archive_snapshots.set(static_cast<int64_t>(counts.snapshots));
  metrics.archive_snapshot_time_ms.set(counts.snapshot_ms);
  raise_to(metrics.archive_gaps, counts.gaps);
  raise_to(metrics.archive_failures, counts.failures);
}

}  // namespace keelson::server
