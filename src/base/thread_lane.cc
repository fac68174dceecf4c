#include "base/thread_lane.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

#include "base/check.h"

namespace keelson {
namespace {

long futex(std::atomic<uint32_t>* word, int op, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), op | FUTEX_PRIVATE_FLAG, value,
                 timeout, nullptr, 0);
}

}  // namespace

ThreadLane::ThreadLane(std::string name, Task after_batch)
    : name_(std::move(name)), after_batch_(std::move(after_batch)) {
  thread_ = Thread([this] { run(); });
}

ThreadLane::~ThreadLane() {
  stop();
  for (Node* node = inbox_.exchange(nullptr); node;) delete std::exchange(node, node->next);
}

void ThreadLane::post(Task task) { push(new Node{std::move(task)}); }

void ThreadLane::post_after(Duration delay, Task task) {
  push(new Node{std::move(task), delay > Duration(0) ? delay : Duration(1)});
}

void ThreadLane::push(Node* node) {
  Node* head = inbox_.load(std::memory_order_relaxed);
  do {
    node->next = head;
  } while (!inbox_.compare_exchange_weak(head, node, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  if (sleeping_.load(std::memory_order_seq_cst) == 0) return;
  if (sleeping_.exchange(0, std::memory_order_seq_cst) == 1) {
    futex(&sleeping_, FUTEX_WAKE, 1, nullptr);
  }
}

void ThreadLane::stop() {
  if (!thread_.joinable()) return;
  CHECK(!on_lane());
  post([this] { stopping_.store(true, std::memory_order_relaxed); });
  thread_.join();
}

void ThreadLane::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  while (!stopping_.load(std::memory_order_relaxed)) {
    bool worked = run_inbox();
    worked |= run_due_timers();
    if (worked && after_batch_) after_batch_();
    if (!worked) sleep();
  }
}

bool ThreadLane::run_inbox() {
  // The inbox is a stack; turned around it is the order of posting.
  Node* newest_first = inbox_.exchange(nullptr, std::memory_order_seq_cst);
  Node* oldest_first = nullptr;
  while (newest_first) {
    Node* next = newest_first->next;
    newest_first->next = oldest_first;
    oldest_first = newest_first;
    newest_first = next;
  }
  bool worked = oldest_first != nullptr;
  while (oldest_first) {
    Node* node = std::exchange(oldest_first, oldest_first->next);
    if (node->delay > Duration(0)) {
      timers_.emplace(clock_.now() + node->delay, std::move(node->task));
    } else {
      node->task();
    }
    delete node;
  }
  return worked;
}

bool ThreadLane::run_due_timers() {
  if (timers_.empty()) return false;
  bool worked = false;
  MonotonicTime now = clock_.now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
    worked = true;
  }
  return worked;
}

void ThreadLane::sleep() {
  sleeping_.store(1, std::memory_order_seq_cst);
  if (inbox_.load(std::memory_order_seq_cst) != nullptr) {
    sleeping_.store(0, std::memory_order_seq_cst);
    return;
  }
  timespec timeout{};
  const timespec* wait = nullptr;
  if (!timers_.empty()) {
    Duration left = timers_.begin()->first - clock_.now();
    if (left < Duration(0)) left = Duration(0);
    timeout.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
    timeout.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
    wait = &timeout;
  }
  futex(&sleeping_, FUTEX_WAIT, 1, wait);
  sleeping_.store(0, std::memory_order_seq_cst);
}

}  // namespace keelson
