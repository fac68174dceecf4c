#include "node/log_lane.h"

#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::node {
namespace {

constexpr Duration kFullDiskRetry = std::chrono::milliseconds(200);

}  // namespace

LogLane::LogLane(Executor& lane, std::unique_ptr<wal::Wal> wal, MemberState& state, Durable durable,
                 Marked marked, SpaceChanged space_changed, Fatal fatal)
    : lane_(lane),
      wal_(std::move(wal)),
      state_(state),
      durable_(std::move(durable)),
      marked_(std::move(marked)),
      space_changed_(std::move(space_changed)),
      fatal_(std::move(fatal)) {
  CHECK(wal_ != nullptr);
  CHECK(durable_ != nullptr);
  CHECK(marked_ != nullptr);
  CHECK(fatal_ != nullptr);
}

void LogLane::append(std::vector<raft::Message> messages) {
  lane_.post([this, messages = std::move(messages)]() mutable {
    for (raft::Message& message : messages) waiting_.push_back(std::move(message));
    schedule_flush();
  });
}

// The flush runs behind whatever is in the inbox now, so all of that shares its fdatasync.
void LogLane::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  lane_.post([this] { flush(); });
}

void LogLane::flush() {
  flush_scheduled_ = false;  // close() flushes, too, scheduled or not
  if (failed_ || closed_ || waiting_.empty()) return;
  CHECK(appended_ <= waiting_.size());
  bool complete = append_waiting();
  if (failed_) return;
  if (must_sync_) {
    if (absl::Status synced = wal_->sync(); !synced.ok()) {
      if (!absl::IsResourceExhausted(synced)) return fail(std::move(synced));
      return retry_later();
    }
    must_sync_ = false;
  }
  CHECK(appended_ <= waiting_.size());
  CHECK(!complete || appended_ == waiting_.size());
  std::vector<raft::Message> done(std::make_move_iterator(waiting_.begin()),
                                  std::make_move_iterator(waiting_.begin() + appended_));
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(appended_));
  appended_ = 0;
  for (const raft::Message& message : done) {
    if (raft::is_empty(message.snapshot)) continue;
    release_to(message.snapshot->metadata.index);
    KEELSON_FAILPOINT("log_snapshot_released");
  }
  if (!done.empty()) durable_(std::move(done));
  if (!complete) return retry_later();
  CHECK(waiting_.empty());
  if (!state_.disk_full.exchange(false)) return;
  log::info("the log has space again; taking writes");
  space_changed_();
}

// False when the disk is full before the last of them.
bool LogLane::append_waiting() {
  for (; appended_ < waiting_.size(); ++appended_) {
    const raft::Message& message = waiting_[appended_];
    CHECK(message.type == raft::MessageType::kMsgStorageAppend);
    absl::Status status;
    if (!raft::is_empty(message.snapshot)) {
      const raft::SnapshotMetadata& at = message.snapshot->metadata;
      KEELSON_FAILPOINT("log_before_snapshot");
      status = wal_->save_snapshot({at.index, at.term}, at.conf_state);
      KEELSON_FAILPOINT("log_after_snapshot");
    }
    if (status.ok()) status = wal_->append(message.hard_state(), message.entries);
    if (status.ok()) {
      must_sync_ |= matters(message) || !raft::is_empty(message.snapshot);
      continue;
    }
    if (!absl::IsResourceExhausted(status)) fail(std::move(status));
    return false;
  }
  return true;
}

// A commit index alone need not be durable before anything is said: it is known again from the
// entries and the peers. It goes out with the next sync (Raft paper, figure 2: commitIndex is
// volatile; etcd's MustSync).
bool LogLane::matters(const raft::Message& message) {
  raft::HardState state = message.hard_state();
  bool voted = !state.empty() && (state.term != synced_.term || state.vote != synced_.vote);
  CHECK(state.empty() || state.term >= synced_.term);
  if (voted) synced_ = state;
  return voted || !message.entries.empty();
}

void LogLane::retry_later() {
  CHECK(!closed_);
  CHECK(!waiting_.empty());
  if (!state_.disk_full.exchange(true)) {
    log::error("no space left for the log: refusing writes until there is; free disk space",
               {{"dir", wal_->dir()}});
    space_changed_();
  }
  if (std::exchange(flush_scheduled_, true)) return;
  lane_.post_after(kFullDiskRetry, [this] { flush(); });
}

void LogLane::mark_snapshot(wal::SnapshotMark mark, raft::ConfState conf) {
  lane_.post([this, mark, conf = std::move(conf)] {
    if (failed_ || closed_) return;
    absl::Status status = make_mark(mark, conf);
    if (!status.ok() && !absl::IsResourceExhausted(status)) return fail(std::move(status));
    marked_(status.ok());
  });
}

absl::Status LogLane::make_mark(wal::SnapshotMark mark, const raft::ConfState& conf) {
  CHECK(mark.index <= wal_->last_index());
  absl::Status status = wal_->save_snapshot(mark, conf);
  if (status.ok()) status = wal_->sync();
  KEELSON_FAILPOINT("log_mark_synced");
  if (!status.ok()) return status;
  // etcd's words; what it saves there is this mark and a file beside it.
  log::info("saved snapshot to disk", {{"snapshot-index", mark.index.value}});
  release_to(mark.index);
  return wal_->give_back();
}

void LogLane::release_to(Index index) {
  wal_->release_to(index, Index(state_.log_needed_from.load(std::memory_order_acquire)));
}

void LogLane::be_frugal(bool on) {
  lane_.post([this, on] { wal_->be_frugal(on); });
}

void LogLane::close(std::function<void(absl::Status)> done) {
  lane_.post([this, done = std::move(done)] {
    CHECK(!closed_);
    flush();
    closed_ = true;
    done(failed_ ? absl::OkStatus() : wal_->close());
  });
}

void LogLane::fail(absl::Status status) {
  CHECK(!failed_);
  CHECK(!closed_);
  CHECK(!status.ok());
  failed_ = true;
  fatal_(std::move(status));
}

}  // namespace keelson::node
