#include "backend/rocks/worker.h"

#include <pthread.h>

#include <utility>

#include "base/errors.h"

namespace keelson::backend::rocks {
namespace {

absl::Status closing() { return absl::CancelledError("backend: closing"); }

}  // namespace

Worker::Worker(const char* name, const Waits& waits,
               absl::AnyInvocable<absl::Status(bool asked)> work)
    : waits_(waits), work_(std::move(work)), thread_([this, name] { run(name); }) {}

void Worker::ask(Done done) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_ && asked_.size() < kMostWaiting) {
      asked_.push_back(std::move(done));
      wake_.notify_one();
      return;
    }
  }
  done(stopping_ ? closing() : errors::RequestTooManyRequests());
}

void Worker::soon() {
  if (hinted_.exchange(true, std::memory_order_relaxed)) return;
  std::lock_guard lock(mutex_);
  wake_.notify_one();
}

bool Worker::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (!thread_.joinable()) return false;
  thread_.join();
  for (Done& done : std::exchange(asked_, {})) done(closing());
  return true;
}

bool Worker::pause(Waits::Time time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return stopping_.load(); });
}

void Worker::run(const char* name) {
  pthread_setname_np(pthread_self(), name);
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping() || !asked_.empty() || hinted_; });
    if (asked_.empty()) {
      wake_.wait_for(lock, waits_.to_gather(), [this] { return stopping() || !asked_.empty(); });
    }
    if (stopping_) return;
    std::vector<Done> now = std::exchange(asked_, {});
    hinted_.store(false, std::memory_order_relaxed);
    lock.unlock();
    const absl::Status status = work_(!now.empty());
    for (Done& done : now) done(status);
    lock.lock();
  }
}

}  // namespace keelson::backend::rocks
