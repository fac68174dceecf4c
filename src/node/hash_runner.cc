#include "node/hash_runner.h"

#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"

namespace keelson::node {
namespace {

constexpr size_t kSlice = 4096;  // records
// Before asking again whether a compaction is done.
constexpr Duration kWait = std::chrono::milliseconds(10);

}  // namespace

void HashRunner::run(std::unique_ptr<mvcc::HashKvJob> job) {
  lane_.post([this, job = std::move(job)]() mutable {
    bool scheduled = job_ != nullptr;
    job_ = std::move(job);
    if (!scheduled) step();
  });
}

void HashRunner::step() {
  CHECK(job_ != nullptr);
  MonotonicTime start = clock_.now();
  absl::StatusOr<bool> done = job_->step(kSlice);
  if (!done.ok() && !absl::IsAborted(done.status())) {
    log::error("cannot compute the hash of a compaction", {{"error", message_of(done.status())}});
  }
  if (!done.ok() || *done) {
    job_.reset();
    return;
  }
  lane_.post_after(rest(clock_.now() - start), [this] { step(); });
}

Duration HashRunner::rest(Duration took) const {
  switch (job_->urgency()) {
    case mvcc::HashKvJob::Urgency::kHoldsRemoval:
      return took;
    case mvcc::HashKvJob::Urgency::kNotYet:
      return kWait;
    case mvcc::HashKvJob::Urgency::kNone:
      break;
  }
  return 3 * took;
}

}  // namespace keelson::node
