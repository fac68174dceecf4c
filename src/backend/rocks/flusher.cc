#include "backend/rocks/flusher.h"

#include <pthread.h>

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "backend/rocks/status.h"
#include "base/failpoint.h"
#include "base/log.h"

namespace keelson::backend::rocks {
namespace {

constexpr auto kRetryDelay = std::chrono::seconds(1);

}  // namespace

Flusher::Flusher(rocksdb::DB* db, const Families& families, Durability* durability)
    : db_(db), families_(families), durability_(durability), thread_([this] { run(); }) {}

void Flusher::flush(Done done) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      asked_.push_back(std::move(done));
      wake_.notify_one();
      return;
    }
  }
  done(absl::CancelledError("backend: closing"));
}

void Flusher::retry_later() {
  std::lock_guard lock(mutex_);
  retry_ = true;
  wake_.notify_one();
}

void Flusher::stop(bool flush_last) {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  if (flush_last) {
    if (absl::Status s = flush_now(); !s.ok()) {
      log::warn("backend: not flushed at close; the log has it", {{"error", message_of(s)}});
    }
  }
  std::vector<Done> left;
  left.swap(asked_);
  for (Done& done : left) done(absl::CancelledError("backend: closing"));
}

void Flusher::run() {
  pthread_setname_np(pthread_self(), "backend-flush");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (asked_.empty() && retry_) {
      wake_.wait_for(lock, kRetryDelay, [this] { return stopping_ || !asked_.empty(); });
    } else {
      wake_.wait(lock, [this] { return stopping_ || retry_ || !asked_.empty(); });
      if (asked_.empty()) continue;
    }
    if (stopping_) return;
    std::vector<Done> now;
    now.swap(asked_);
    retry_ = false;
    lock.unlock();
    absl::Status status = flush_now();
    for (Done& done : now) done(status);
    lock.lock();
    if (absl::IsResourceExhausted(status)) retry_ = true;
  }
}

absl::Status Flusher::flush_now() {
  KEELSON_FAILPOINT("backend_before_flush");
  if (absl::Status s = KEELSON_FAILPOINT_STATUS("backend_flush"); !s.ok()) return s;
  rocksdb::FlushOptions options;
  options.wait = true;
  options.allow_write_stall = true;
  uint64_t sequence = db_->GetLatestSequenceNumber();
  absl::Status status = to_status(db_->Flush(options, families_), "flushing");
  if (status.ok()) {
    durability_->clear_full_disk();
    // RocksDB wakes us before it has told its listeners.
    status = durability_->advance(sequence);
  }
  KEELSON_FAILPOINT("backend_after_flush");
  return status;
}

absl::Status flush_and_wait(Flusher& flusher) {
  auto result = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> done = result->get_future();
  flusher.flush([result](absl::Status status) { result->set_value(std::move(status)); });
  return done.get();
}

}  // namespace keelson::backend::rocks
