// From the writer's view to the readers': one backend commit and one store of a pointer per batch.

#include "base/check.h"
#include "base/failpoint.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {

absl::StatusOr<EventBatchPtr> StoreImpl::publish(keelson::Index index, Term term) {
  CHECK(!in_txn_);
  KEELSON_FAILPOINT("mvcc_before_commit");
  if (absl::Status s = backend_->commit(batch_, index, term); !s.ok()) return s;
  KEELSON_FAILPOINT("mvcc_after_commit");
  backend_->set_live_bytes(live_bytes_);
  batch_.clear();
  lease_changes_.clear();
  // From here on every value can be read back, so none has to stay in memory.
  EventBatchPtr events = take_events();
  for (Version* version : superseded_) cache_.drop(version);
  superseded_.clear();
  cache_.evict();
  publish_root();
  return events;
}

void StoreImpl::publish_root() {
  auto* fresh = new (slab_.allocate(sizeof(Root)))
      Root{tree_.root(), revision_, compact_revision_, ring_->end()};
  tree_.publish();
  Root* old = root_.load(std::memory_order_relaxed);
  CHECK(compact_revision_ <= revision_);
  CHECK(!old || old->revision <= revision_);
  CHECK(!old || old->compact_revision <= compact_revision_);
  CHECK(!old || old->flips_end <= ring_->end());
  root_.store(fresh, std::memory_order_seq_cst);
  published_revision_.store(revision_, std::memory_order_release);
  if (published_compact_revision_.load(std::memory_order_relaxed) != compact_revision_) {
    published_compact_revision_.store(compact_revision_, std::memory_order_seq_cst);
  }
  if (!compacting_) {
    published_finished_revision_.store(compact_revision_, std::memory_order_release);
  }
  published_keys_.store(static_cast<int64_t>(tree_.live()), std::memory_order_relaxed);
  published_compacted_.store(compacted_, std::memory_order_relaxed);
  if (old) epochs_.retire_piece(old, sizeof(Root));
  epochs_.advance();
}

EventBatchPtr StoreImpl::take_events() {
  if (events_.empty()) return nullptr;
  auto batch = std::make_shared<EventBatch>();
  batch->first_revision = events_.front().revision.main;
  batch->last_revision = events_.back().revision.main;
  for (const Event& event : events_) batch->bytes += event.kv.size() + event.prev_kv.size();
  // The next batch is likely to be of a like size.
  size_t expected = events_.size();
  batch->events = std::move(events_);
  events_ = {};
  events_.reserve(expected);
  return batch;
}

}  // namespace keelson::mvcc
