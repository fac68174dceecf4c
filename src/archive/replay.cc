#include "archive/replay.h"

#include <algorithm>

#include "base/check.h"
#include "raft/conf_change.h"
#include "wire/raft_codec.h"

namespace keelson::archive {
namespace {

constexpr uint64_t kBatchEntries = 1000;
constexpr uint64_t kBatchBytes = 4 << 20;

}  // namespace

Replay::~Replay() = default;

absl::StatusOr<std::unique_ptr<Replay>> Replay::create(backend::Backend* store, ClusterId cluster) {
  auto replay = std::unique_ptr<Replay>(new Replay);
  absl::StatusOr<std::unique_ptr<mvcc::Store>> keys = mvcc::Store::open(store);
  if (!keys.ok()) return keys.status();
  replay->keys_ = *std::move(keys);
  replay->members_ = std::make_unique<membership::Cluster>(cluster);
  if (absl::Status s = replay->members_->restore(*store); !s.ok()) return s;
  replay->leases_ = std::make_unique<lease::LeaseTable>(lease::LeaseOptions{.min_ttl_seconds = 1});
  // Slices as large as there is work for: nobody waits.
  absl::StatusOr<std::unique_ptr<apply::Applier>> applier = apply::Applier::create(
      store, replay->keys_.get(), replay->leases_.get(), replay->members_.get(), &replay->clock_,
      {.compaction_slice = 100'000}, [](mvcc::EventBatchPtr) {});
  if (!applier.ok()) return applier.status();
  replay->applier_ = *std::move(applier);
  replay->index_ = replay->applier_->applied_index();
  replay->term_ = replay->applier_->applied_term();
  return replay;
}

bool Replay::is_at(const End& end) const {
  return end.revision ? revision() >= *end.revision : index_ >= *end.index;
}

absl::StatusOr<bool> Replay::run(wal::Follower& log, const End& end,
                                 const std::function<void(const Progress&)>& progress) {
  CHECK(end.revision.has_value() != end.index.has_value());
  CHECK(!end.revision || revision() <= *end.revision);
  CHECK(!end.index || index_ <= *end.index);
  while (!is_at(end)) {
    absl::StatusOr<bool> more = run_batch(log, end);
    if (!more.ok()) return more;
    if (!*more) return false;
    if (progress) progress({index_, revision()});
  }
  CHECK(!end.revision || revision() == *end.revision);
  return true;
}

// An entry makes one revision at most: as many entries as revisions are lacking do not go too far.
absl::StatusOr<bool> Replay::run_batch(wal::Follower& log, const End& end) {
  uint64_t most = kBatchEntries;
  if (end.revision) most = std::min(most, static_cast<uint64_t>(*end.revision - revision()));
  const wal::SnapshotMark to{end.index.value_or(Index(UINT64_MAX)), Term(0)};
  uint64_t bytes = 0, count = 0;
  for (; count < most && bytes < kBatchBytes; ++count) {
    absl::StatusOr<std::optional<raft::Entry>> entry = log.next(to);
    if (!entry.ok()) return entry.status();
    if (!*entry) break;
    bytes += wire::wire_size(**entry);
    if (absl::Status s = apply(**entry); !s.ok()) return s;
  }
  if (count == 0) return false;
  if (absl::Status s = publish(); !s.ok()) return s;
  return true;
}

absl::Status Replay::apply(const raft::Entry& entry) {
  CHECK(entry.index == index_ + 1);
  absl::Status status = raft::is_conf_change(entry.type)
                            ? applier_->apply_conf_change(entry).status()
                            : applier_->apply(entry, false).status();
  index_ = entry.index;
  term_ = entry.term;
  return status;
}

// What a compaction is to remove goes before the next one is asked for. Its hash nobody asks for.
absl::Status Replay::publish() {
  if (absl::Status s = applier_->publish(index_, term_); !s.ok()) return s;
  applier_->take_compaction_hash().reset();
  while (applier_->has_background_work()) {
    if (absl::Status s = applier_->background_step(); !s.ok()) return s;
  }
  return absl::OkStatus();
}

}  // namespace keelson::archive
