// The hash that belongs to a compaction at R when the one before was at P: over the records beyond
// P up to R as they were before anything of them was removed, and over those up to P that the
// compaction at R keeps.
//
// In which order it reads, and why nothing has to be pinned for it:
//   1. the records in (P, R], while the compaction waits for it (a Hold): they are what was written
//      between two compactions, however large the store is;
//   2. once the compaction is done, the records up to P: what it kept is what there is. They stay
//      until the next compaction, and that one makes this hash worthless to anybody: it is dropped.
// The two sums are put together as if the older records had come first. Each slice has an iterator
// of its own, so no state of the backend is kept longer than a slice takes.
// Source of what counts: etcd v3.7.1, server/storage/mvcc/hash.go, kvstore_compaction.go.

#include "mvcc/compaction_hash.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "mvcc/key_tree_view.h"
#include "mvcc/revision_key.h"

namespace keelson::mvcc {
namespace {

using backend::Bucket;

constexpr size_t kSectionKeys = 2048;
// A slice ends early when it has seen this much.
constexpr size_t kSliceBytes = 1 << 20;

absl::Status overtaken() {
  return absl::AbortedError("mvcc: the next compaction began before this one's hash was done");
}

class Job final : public HashKvJob {
 public:
  Job(std::shared_ptr<const StoreImpl> store, std::shared_ptr<CompactionHold> hold, KvHash plan)
      : store_(std::move(store)), slot_(store_->epochs()), hold_(std::move(hold)), plan_(plan) {
    old_crc_ = crc32c::extend(0, backend::bucket_name(Bucket::kKey));
  }
  ~Job() override { hold_->release(); }

  absl::StatusOr<bool> step(size_t max_records) override {
    absl::Status status;
    switch (phase_) {
      case Phase::kProbe:
        probe();
        status = hold_->overrun() ? overtaken() : absl::OkStatus();
        break;
      case Phase::kNew:
        status = hash_new(max_records);
        break;
      case Phase::kRemoval:
        if (store_->published_compact_revision() != plan_.hash_revision) status = overtaken();
        if (store_->published_finished_revision() == plan_.hash_revision) begin_old();
        break;
      case Phase::kOld:
        status = hash_old(max_records);
        break;
      case Phase::kDone:
        break;
    }
    if (!status.ok()) return status;
    return phase_ == Phase::kDone;
  }

  Urgency urgency() const override {
    if (phase_ == Phase::kRemoval) return Urgency::kNotYet;
    return phase_ < Phase::kRemoval ? Urgency::kHoldsRemoval : Urgency::kNone;
  }

  KvHash result() const override {
    CHECK(phase_ == Phase::kDone);
    return plan_;
  }

 private:
  enum class Phase { kProbe, kNew, kRemoval, kOld, kDone };

  // Is there a key at R, or a tombstone of R? If not, the compaction keeps nothing, and etcd then
  // counts every record there is.
  void probe() {
    EpochSection section(store_->epochs(), slot_.get());
    TreeCursor cursor(store_->current(slot_.get()).tree);
    cursor.seek(resume_);
    const KeyRecord* last = nullptr;
    for (size_t n = 0; n < kSectionKeys && cursor.valid(); ++n, cursor.next()) {
      last = cursor.record();
      const Version* seen = last->newest_at(plan_.hash_revision);
      if (!seen || (seen->tombstone() && seen->main != plan_.hash_revision)) continue;
      return begin_new(plan_.compact_revision + 1);
    }
    if (!cursor.valid()) return begin_new(0);
    resume_.assign(last->key());
  }

  void begin_new(int64_t from) {
    new_from_ = std::max<int64_t>(from, 0);
    phase_ = Phase::kNew;
    resume_.assign(RevisionKey({new_from_, 0}).view());
  }
  void begin_old() {
    phase_ = Phase::kOld;
    resume_.assign(RevisionKey({0, 0}).view());
  }

  absl::Status hash_new(size_t max_records) {
    absl::StatusOr<bool> done =
        hash_records(plan_.hash_revision + 1, max_records, &new_crc_, &new_size_);
    // In this order: what the slice may have missed was removed after the overrun was noted.
    if (hold_->overrun()) return overtaken();
    if (!done.ok()) return done.status();
    if (!*done) return absl::OkStatus();
    if (new_from_ == 0) return finish();
    if (!hold_->release()) return overtaken();
    phase_ = Phase::kRemoval;
    return absl::OkStatus();
  }

  absl::Status hash_old(size_t max_records) {
    uint64_t size = 0;
    absl::StatusOr<bool> done = hash_records(new_from_, max_records, &old_crc_, &size);
    // As above: a compaction is shown before it removes anything.
    if (store_->published_compact_revision() != plan_.hash_revision) return overtaken();
    if (!done.ok()) return done.status();
    return *done ? finish() : absl::OkStatus();
  }

  absl::Status finish() {
    plan_.hash = crc32c::combine(old_crc_, new_crc_, new_size_);
    store_->hashes.store(plan_);
    phase_ = Phase::kDone;
    hold_->release();
    return absl::OkStatus();
  }

  // Records from resume_ on with a main below `end`; true: no more of them.
  absl::StatusOr<bool> hash_records(int64_t end, size_t max_records, uint32_t* crc,
                                    uint64_t* size) {
    RevisionKey upper({end, 0});
    std::unique_ptr<backend::Iterator> it =
        store_->backend().iterate(Bucket::kKey, {.lower = resume_, .upper = upper.view()});
    uint64_t enough = *size + kSliceBytes;
    for (it->seek_to_first(); it->valid(); it->next()) {
      if (max_records-- == 0 || *size >= enough) {
        resume_.assign(it->key());
        return false;
      }
      ParsedRevision at;
      if (!parse_revision_key(it->key(), &at)) {
        return absl::DataLossError("mvcc: a revision in the key bucket does not parse");
      }
      if (at.tombstone && at.revision.main == plan_.compact_revision) continue;
      *crc = crc32c::extend(crc32c::extend(*crc, it->key()), it->value());
      *size += it->key().size() + it->value().size();
    }
    if (!it->status().ok()) return it->status();
    return true;
  }

  const std::shared_ptr<const StoreImpl> store_;
  const OwnSlot slot_;
  const std::shared_ptr<CompactionHold> hold_;
  KvHash plan_;  // .hash: once done
  Phase phase_ = Phase::kProbe;
  std::string resume_;    // the next key to look at: of the index, then of the bucket
  int64_t new_from_ = 0;  // the first main of step 1; 0: all there is
  uint32_t new_crc_ = 0, old_crc_;
  uint64_t new_size_ = 0;
};

}  // namespace

std::unique_ptr<HashKvJob> StoreImpl::take_compaction_hash() {
  if (!hash_plan_ || root()->compact_revision < hash_plan_->revision) return nullptr;
  KvHash plan{.hash = 0,
              .compact_revision = hash_plan_->previous_compact_revision,
              .hash_revision = hash_plan_->revision,
              .current_revision = revision_};
  hash_plan_.reset();
  CHECK(compacting_);
  CHECK(!hash_hold_);
  hash_hold_ = std::make_shared<CompactionHold>();
  return std::make_unique<Job>(shared_from_this(), hash_hold_, plan);
}

void StoreImpl::drop_compaction_hash() {
  if (hash_hold_) hash_hold_->overrun_now();
  hash_hold_.reset();
}

}  // namespace keelson::mvcc
