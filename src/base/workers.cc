#include "base/workers.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace keelson {

Workers::Workers(Options options)
    : options_(std::move(options)),
      own_(static_cast<size_t>(options_.threads)),
      threads_(static_cast<size_t>(options_.threads)) {
  CHECK(options_.threads > 0);
  CHECK(options_.threads_per_owner > 0);
  for (int i = 0; i < options_.threads; ++i) {
    threads_[static_cast<size_t>(i)] = Thread([this, i] { work(i); });
  }
}

Workers::~Workers() { stop(); }

bool Workers::run(uint64_t owner, Job job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return true;
    if (waiting_ >= options_.max_waiting) return false;
    auto known = owners_.find(owner);
    if (known != owners_.end() && known->second.waiting.size() >= options_.max_waiting_of_owner) {
      return false;
    }
    push(owner, std::move(job));
  }
  wake_.notify_one();
  return true;
}

void Workers::go_on(uint64_t owner, Job job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    push(owner, std::move(job));
  }
  wake_.notify_one();
}

void Workers::run_on(int worker, Job job) {
  CHECK(worker >= 0);
  CHECK(worker < options_.threads);
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    own_[static_cast<size_t>(worker)].push_back(std::move(job));
  }
  wake_.notify_all();
}

void Workers::push(uint64_t id, Job job) {
  Owner& owner = owners_[id];
  const bool had_turn = may_begin(owner);
  owner.waiting.push_back(std::move(job));
  ++waiting_;
  if (!had_turn && may_begin(owner)) turns_.push_back(id);
}

void Workers::work(int worker) {
  pthread_setname_np(pthread_self(), cat(options_.name.substr(0, 12), "-", worker).c_str());
  // For this thread alone, as Linux has it. Refused, they are as eager as the others.
  if (options_.niceness != 0)
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), options_.niceness);
  std::unique_lock lock(mutex_);
  std::deque<Job>& own = own_[static_cast<size_t>(worker)];
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !turns_.empty() || !own.empty(); });
    if (stopping_) return;
    if (!own.empty()) {
      Job job = std::move(own.front());
      own.pop_front();
      lock.unlock();
      job(worker);
      job = nullptr;
      lock.lock();
      continue;
    }
    const uint64_t id = turns_.front();
    turns_.pop_front();
    Owner& owner = owners_[id];
    CHECK(may_begin(owner));
    Job job = std::move(owner.waiting.front());
    owner.waiting.pop_front();
    --waiting_;
    ++owner.running;
    if (may_begin(owner)) turns_.push_back(id);
    lock.unlock();
    job(worker);
    job = nullptr;
    lock.lock();
    Owner& after = owners_[id];  // the table may have moved
    CHECK(after.running > 0);
    const bool had_turn = may_begin(after);
    --after.running;
    if (!had_turn && may_begin(after)) turns_.push_back(id);
    if (after.running == 0 && after.waiting.empty()) owners_.erase(id);
  }
}

void Workers::stop() {
  absl::flat_hash_map<uint64_t, Owner> dropped;
  std::vector<std::deque<Job>> dropped_own(own_.size());
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (Thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  std::lock_guard lock(mutex_);
  std::swap(dropped, owners_);
  std::swap(dropped_own, own_);
  turns_.clear();
  waiting_ = 0;
}

}  // namespace keelson
