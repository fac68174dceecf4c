// node/test_rocks_store.h
//
// RocksStore is RocksDB under a TestMember, on a disk in memory that is full, fails and loses power
// (backend/rocks/fault_files.h).
//
// Threads: one, and RocksDB's, of which the member never sees anything: what they have to say waits
//   here until deliver(). They run in the order they like, so a seed narrows down what happens, it
//   does not fix it: a failure may take several runs of its seed to come back.

#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "backend/rocks/fault_files.h"
#include "backend/rocks/rocks_backend.h"
#include "mvcc/row_head.h"
#include "node/test_store.h"

namespace keelson::node {

class RocksStore final : public TestStore {
 public:
  explicit RocksStore(Random& random) : disk_(random.next()) {
    // Far more than the log may ever lead the store by: a commit that found no room would wait, and
    // in one thread nobody would make any.
    options_.write_buffers = uint64_t{4 << 20} << random.below(2);
    options_.background_threads = 2;
    options_.opening_threads = 1;
    options_.haste = 1000;
    options_.flush_on_close = false;
    if (random.below(4) > 0) options_.heads = mvcc::kHeadFormat;
  }

  absl::StatusOr<std::unique_ptr<backend::Backend>> open() override {
    options_.files = disk_.files();
    absl::StatusOr<std::unique_ptr<backend::Backend>> rocks =
        backend::open_rocks_backend("/data/member/keelson", options_);
    if (!rocks.ok()) return rocks.status();
    words_ = std::make_shared<Words>();
    return std::make_unique<Spoken>(*std::move(rocks), words_);
  }

  // The disk as it is now is what the next life finds. The old one is closed in calm, and in vain.
  // What was in memory goes with the process in any case.
  void kill(bool keep) override { leave(disk_.after_kill()); }
  void lose_power() override { leave(disk_.after_power_loss()); }

  void break_something(Random& random) override {
    static constexpr backend::Weather kKinds[] = {
        backend::Weather::kFull, backend::Weather::kOverQuota, backend::Weather::kNoHandles};
    const uint64_t kind = random.below(5);
    if (kind < 2) return disk_.fail_once_after(random.below(60));
    if (kind == 2) return disk_.fail_read_once_after(random.below(20));
    bad_weather_ = true;
    disk_.set_weather(kKinds[random.below(3)]);
  }

  void mend() override {
    bad_weather_ = false;
    disk_.set_weather(backend::Weather::kCalm);
    disk_.forget_failures();
  }

  void deliver(Executor& lane, bool idle) override {
    if (!words_) return;
    std::unique_lock lock(words_->mutex);
    if (idle && words_->owed > 0 && (!bad_weather_ || words_->impatient)) {
      words_->more.wait(lock, [this] { return !words_->said.empty(); });
    }
    for (Task& task : words_->said) lane.post(std::move(task));
    words_->said.clear();
  }

  // How often the disk refused something.
  uint64_t refused() const { return refused_ + disk_.refused(); }

 private:
  // What RocksDB's threads said in one life and the member has not heard yet.
  struct Words {
    void say(Task task) {
      std::lock_guard lock(mutex);
      said.push_back(std::move(task));
      more.notify_one();
    }

    std::mutex mutex;
    std::condition_variable more;
    std::deque<Task> said;
    int owed = 0;            // answers that will come for sure, unless a disk stays full
    bool impatient = false;  // even then
  };

  // RocksDB whose calls come by way of Words.
  class Spoken final : public ForwardingBackend {
   public:
    Spoken(std::unique_ptr<backend::Backend> rocks, std::shared_ptr<Words> words)
        : ForwardingBackend(*rocks), rocks_(std::move(rocks)), words_(std::move(words)) {}

    void flush(absl::AnyInvocable<void(absl::Status)> done) override {
      ForwardingBackend::flush(owed(std::move(done)));
    }
    void reclaim(absl::AnyInvocable<void(absl::Status)> done) override {
      ForwardingBackend::reclaim(owed(std::move(done)));
    }
    void read_through(backend::TakePassing passing) override {
      ForwardingBackend::read_through([words = words_, passing](backend::PassingRecords records) {
        words->say(
            [passing, records = std::move(records)]() mutable { passing(std::move(records)); });
        return true;
      });
    }
    void end_patience() override {
      ForwardingBackend::end_patience();
      std::lock_guard lock(words_->mutex);
      words_->impatient = true;
    }
    void set_durable_listener(std::function<void(Index)> listener) override {
      ForwardingBackend::set_durable_listener([words = words_, listener](Index index) {
        words->say([listener, index] { listener(index); });
      });
    }
    void set_health_listener(std::function<void(const absl::Status&)> listener) override {
      ForwardingBackend::set_health_listener([words = words_, listener](const absl::Status& s) {
        words->say([listener, s] { listener(s); });
      });
    }

   private:
    absl::AnyInvocable<void(absl::Status)> owed(absl::AnyInvocable<void(absl::Status)> done) {
      std::lock_guard lock(words_->mutex);
      ++words_->owed;
      return [words = words_, done = std::move(done)](absl::Status status) mutable {
        words->say([words = words.get(), done = std::move(done), status]() mutable {
          {
            std::lock_guard lock(words->mutex);
            --words->owed;
          }
          done(std::move(status));
        });
      };
    }

    const std::unique_ptr<backend::Backend> rocks_;
    const std::shared_ptr<Words> words_;
  };

  void leave(backend::FaultFiles next) {
    refused_ += disk_.refused();
    mend();
    disk_ = std::move(next);
    if (!words_) return;
    std::lock_guard lock(words_->mutex);
    words_->said.clear();  // before the node is gone, of which they know
  }

  backend::RocksOptions options_;
  backend::FaultFiles disk_;
  std::shared_ptr<Words> words_;  // of this life
  bool bad_weather_ = false;
  uint64_t refused_ = 0;  // by the disks before
};

}  // namespace keelson::node
