#include "server/store_hashes.h"

#include <memory>
#include <utility>

#include "base/errors.h"

namespace keelson::server {
namespace {

constexpr size_t kSlice = 4096;  // records

class Work final : public node::HashQueue::Work {
 public:
  Work(mvcc::Store& store, int64_t revision, std::shared_ptr<StoreHashes::Done> done)
      : store_(store), revision_(revision), done_(std::move(done)) {}

  // There is no way to hear that nobody waits any more.
  bool wanted() const override { return true; }
  bool step() override {
    absl::StatusOr<bool> over = slice();
    if (over.ok() && !*over) return false;
    if (over.ok()) {
      (*done_)(job_->result());
    } else {
      (*done_)(over.status());
    }
    return true;
  }

 private:
  absl::StatusOr<bool> slice() {
    if (!job_) {
      absl::StatusOr<std::unique_ptr<mvcc::HashKvJob>> job = store_.hash_kv(revision_);
      if (!job.ok()) return job.status();
      job_ = *std::move(job);
    }
    return job_->step(kSlice);
  }

  mvcc::Store& store_;
  const int64_t revision_;
  const std::shared_ptr<StoreHashes::Done> done_;
  std::unique_ptr<mvcc::HashKvJob> job_;
};

}  // namespace

StoreHashes::StoreHashes(node::Node& node)
    : store_(node.store()), queue_(node.background(), node.clock()) {}

// The queue takes what it is given or drops it; then somebody has to say so.
void StoreHashes::hash(int64_t revision, Done done) {
  auto shared = std::make_shared<Done>(std::move(done));
  if (queue_.add(std::make_unique<Work>(store_, revision, shared))) return;
  (*shared)(errors::RequestTooManyRequests());
}

}  // namespace keelson::server
