#include "node/hash_runner.h"

#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"

namespace keelson::node {
namespace {

constexpr size_t kSlice = 4096;  // records

}  // namespace

void HashRunner::run(std::unique_ptr<mvcc::HashKvJob> job) {
  lane_.post([this, job = std::move(job)]() mutable {
    CHECK(job != nullptr);
    job_ = std::move(job);
    waiting_ = false;
    if (!scheduled_) step();
  });
}

void HashRunner::compacted() {
  lane_.post([this] {
    CHECK(job_ != nullptr || !waiting_);
    if (std::exchange(waiting_, false)) step();
  });
}

void HashRunner::drop() {
  lane_.post([this] {
    job_.reset();
    waiting_ = false;
  });
}

void HashRunner::schedule(Duration pause) {
  CHECK(!scheduled_);
  scheduled_ = true;
  lane_.post_after(pause, [this] {
    scheduled_ = false;
    if (job_) step();
  });
}

void HashRunner::step() {
  CHECK(job_ != nullptr);
  CHECK(!waiting_);
  CHECK(!scheduled_);
  MonotonicTime start = clock_.now();
  absl::StatusOr<bool> done = job_->step(kSlice);
  if (!done.ok() && !absl::IsAborted(done.status())) {
    log::error("cannot compute the hash of a compaction", {{"error", message_of(done.status())}});
  }
  if (!done.ok() || *done) {
    job_.reset();
    return;
  }
  waiting_ = job_->urgency() == mvcc::HashKvJob::Urgency::kNotYet;
  if (!waiting_) schedule(rest(clock_.now() - start));
}

Duration HashRunner::rest(Duration took) const {
  bool held = job_->urgency() == mvcc::HashKvJob::Urgency::kHoldsRemoval;
  return held ? took : 3 * took;
}

}  // namespace keelson::node
