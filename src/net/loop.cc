#include "net/loop.h"

#include <pthread.h>

#include "base/check.h"
#include "base/text.h"
#include "net/loop_impl.h"

namespace keelson::net {
namespace {

class PostedTask final : public LoopWork {
 public:
  explicit PostedTask(Task task) : task_(std::move(task)) {}
  void run() override {
    task_();
    delete this;
  }
  void drop() override { delete this; }

 private:
  ~PostedTask() = default;
  Task task_;
};

// Its own once it is armed.
class DelayedTask final : public Timer {
 public:
  explicit DelayedTask(Task task) : task_(std::move(task)) {}
  void on_timer() override {
    task_();
    delete this;
  }
  void on_drop() override { delete this; }

 private:
  Task task_;
};

}  // namespace

// ---- Impl

Loop::Impl::Impl(const Clock* clock, std::string name, int number)
    : clock_(clock ? clock : &system_clock_),
      name_(std::move(name)),
      number_(number),
      timers_(clock_->now()) {}

// What is let go of may post more on its way.
Loop::Impl::~Impl() {
  do drop_inbox();
  while (timers_.drop_all() > 0);
}

void Loop::Impl::drop_inbox() {
  while (LoopWork* work = taken_ ? std::exchange(taken_, nullptr) : inbox_.exchange(nullptr)) {
    while (work) {
      LoopWork* next = work->next_;
      work->drop();
      work = next;
    }
  }
}

MonotonicTime Loop::Impl::now() {
  if (!now_known_) {
    now_ = clock_->now();
    now_known_ = true;
  }
  return now_;
}

void Loop::Impl::push(LoopWork* work) {
  LoopWork* head = inbox_.load(std::memory_order_relaxed);
  do {
    work->next_ = head;
  } while (!inbox_.compare_exchange_weak(head, work, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  // Whoever finds the loop asleep takes the duty of waking it; the rest see it awake.
  if (sleeping_.load(std::memory_order_seq_cst) == 1 && sleeping_.exchange(0) == 1) poller_.wake();
}

size_t Loop::Impl::run_inbox() {
  if (!taken_) take_inbox();
  turn_ends_ = clock_->now() + kTimePerTurn;
  size_t ran = 0;
  while (LoopWork* work = taken_) {
    taken_ = work->next_;
    work->run();
    ++ran;
    if (out_of_time()) break;
  }
  return ran;
}

void Loop::Impl::take_inbox() {
  if (inbox_.load(std::memory_order_relaxed) == nullptr) return;
  // The inbox is a stack; turned around it is the order of posting.
  LoopWork* newest_first = inbox_.exchange(nullptr, std::memory_order_seq_cst);
  while (newest_first) {
    LoopWork* next = newest_first->next_;
    newest_first->next_ = taken_;
    taken_ = newest_first;
    newest_first = next;
  }
}

void Loop::Impl::flush_later(Flushable* who) {
  if (who->queued_) return;
  who->queued_ = true;
  who->next_ = nullptr;
  if (flush_last_) {
    flush_last_->next_ = who;
  } else {
    flush_first_ = who;
  }
  flush_last_ = who;
}

bool Loop::Impl::out_of_time() { return clock_->now() >= turn_ends_; }

size_t Loop::Impl::run_handlers() {
  turn_ends_ = clock_->now() + kTimePerTurn;
  size_t ran = 0;
  while (ran < kHandlersPerTurn && poller_.run_one()) {
    ++ran;
    if (out_of_time()) break;
  }
  return ran;
}

// Those who ask while this runs are behind the last one of now.
void Loop::Impl::run_flushes() {
  Flushable* const last = flush_last_;
  turn_ends_ = clock_->now() + kTimePerTurn;
  while (Flushable* who = flush_first_) {
    flush_first_ = who->next_;
    if (!flush_first_) flush_last_ = nullptr;
    who->queued_ = false;
    who->flush();
    if (who == last || out_of_time()) return;
  }
}

void Loop::Impl::end_batch() {
  for (Task& hook : hooks_) hook();
  run_flushes();
}

// Waits unless something is left of the turn before. One look a turn: what becomes ready meanwhile
// belongs to the next.
void Loop::Impl::look() {
  if (flush_first_ || taken_ || inbox_.load(std::memory_order_relaxed)) {
    return poller_.look(Duration(0));
  }
  sleeping_.store(1, std::memory_order_seq_cst);
  std::optional<Duration> wait;
  if (inbox_.load(std::memory_order_seq_cst) != nullptr) {
    wait = Duration(0);
  } else if (std::optional<MonotonicTime> due = timers_.next_due()) {
    wait = *due - clock_->now();
  }
  poller_.look(wait);
  sleeping_.store(0, std::memory_order_seq_cst);
}

size_t Loop::Impl::turn() {
  now_known_ = false;
  size_t ran = run_handlers();
  ran += run_inbox();
  ran += timers_.advance(now());
  if (flush_first_) ++ran;  // left over from the turn before
  if (ran > 0) end_batch();
  return ran;
}

size_t Loop::Impl::run_ready() {
  poller_.look(Duration(0));
  return turn();
}

void Loop::Impl::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  while (!stopping_) {
    look();
    turn();
  }
  while (flush_first_) run_flushes();
}

// ---- Loop

Loop::Loop(std::string name, int number)
    : impl_(std::make_unique<Impl>(nullptr, std::move(name), number)) {
  std::atomic<bool> known{false};
  impl_->thread_ = Thread([this, &known] {
    impl_->thread_id_ = std::this_thread::get_id();
    known.store(true);
    known.notify_one();
    impl_->run();
  });
  known.wait(false);
}

Loop::Loop(const Clock* clock) : impl_(std::make_unique<Impl>(clock, "manual", 0)) {
  impl_->thread_id_ = std::this_thread::get_id();
}

Loop::~Loop() { stop(); }

size_t Loop::run_ready() {
  CHECK(!impl_->thread_.joinable());
  return impl_->run_ready();
}

void Loop::post(Task task) { impl_->push(new PostedTask(std::move(task))); }

void Loop::post_work(LoopWork* work) { impl_->push(work); }

void Loop::post_after(Duration delay, Task task) {
  // The time counts from now, not from when the loop gets to it.
  MonotonicTime due = impl_->clock_->now() + delay;
  auto timer = std::make_unique<DelayedTask>(std::move(task));
  if (on_loop()) {
    impl_->timers_.arm(timer.release(), due);
  } else {
    post([this, timer = std::move(timer), due]() mutable {
      impl_->timers_.arm(timer.release(), due);
    });
  }
}

void Loop::after_batch(Task hook) {
  if (on_loop()) {
    impl_->hooks_.push_back(std::move(hook));
  } else {
    post([this, hook = std::move(hook)]() mutable { impl_->hooks_.push_back(std::move(hook)); });
  }
}

bool Loop::on_loop() const { return impl_->on_loop(); }
int Loop::number() const { return impl_->number_; }
MonotonicTime Loop::now() const { return impl_->now(); }

void Loop::stop() {
  if (!impl_->thread_.joinable()) return;
  CHECK(!on_loop());
  post([this] { impl_->stopping_ = true; });
  impl_->thread_.join();
}

// ---- LoopPool

LoopPool::LoopPool(int size, const std::string& name) {
  CHECK(size > 0);
  for (int i = 0; i < size; ++i) loops_.push_back(std::make_unique<Loop>(cat(name, "-", i), i));
}

LoopPool::~LoopPool() { stop(); }

void LoopPool::stop() {
  for (auto& loop : loops_) loop->stop();
}

}  // namespace keelson::net
