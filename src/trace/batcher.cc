#include "trace/batcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace keelson::trace {

Batcher::Batcher(const Options& options, Executor& lane, const Clock& clock, Random& random,
                 Exporter& exporter)
    : options_(options),
      lane_(lane),
      clock_(clock),
      random_(random),
      exporter_(exporter),
      queue_(options.queue) {}

void Batcher::start() {
  lane_.post([this] {
    due_ = clock_.now() + options_.delay;
    tick();
  });
}

void Batcher::take(std::unique_ptr<Span> span) {
  if (closed_.load(std::memory_order_relaxed)) return;
  if (queue_.push(std::move(span))) lane_.post([this] { send(false); });
}

// There is one timer, however often batches go meanwhile.
void Batcher::tick() {
  if (closing_) return;
  if (clock_.now() >= due_) {
    due_ = clock_.now() + options_.delay;
    send(true);
  }
  lane_.post_after(std::max(due_ - clock_.now(), Duration(1)), [this] { tick(); });
}

void Batcher::send(bool also_a_part) {
  part_is_due_ |= also_a_part;
  if (!going_on_) go_on();
}

// One batch for each task of the lane, so that its end can come between two. What waits for another
// try goes first; what comes meanwhile waits in the queue.
void Batcher::go_on() {
  going_on_ = false;
  CHECK(paused_ == !batch_.empty());
  if (closing_ || paused_) return;
  if (!next_batch()) return report();
  if (send_batch()) batch_is_over();
}

void Batcher::batch_is_over() {
  due_ = clock_.now() + options_.delay;
  report();
  going_on_ = true;
  lane_.post([this] { go_on(); });
}

bool Batcher::next_batch() {
  CHECK(batch_.empty());
  if (!queue_.has_batch() && !closing_ && !std::exchange(part_is_due_, false)) return false;
  batch_ = queue_.take();
  if (!closing_) until_ = clock_.now() + options_.patience;
  next_pause_ = options_.first_pause;
  return !batch_.empty();
}

bool Batcher::send_batch() {
  const Duration left = until_ - clock_.now();
  if (left <= Duration(0)) return give_up("there was no time left"), true;
  const Sent sent = exporter_.send(batch_, left);
  if (sent.what == Sent::What::kTryAgain && !closing_ && pause(sent)) return false;
  if (sent.what != Sent::What::kTaken) return give_up(sent.error), true;
  const auto all = static_cast<int64_t>(batch_.size());
  const int64_t rejected = std::clamp<int64_t>(sent.rejected, 0, all);
  sent_.fetch_add(static_cast<uint64_t>(all - rejected), std::memory_order_relaxed);
  failed_.fetch_add(static_cast<uint64_t>(rejected), std::memory_order_relaxed);
  if (!sent.error.empty()) last_error_ = sent.error;
  batch_.clear();
  return true;
}

bool Batcher::pause(const Sent& sent) {
  // From half of it to one and a half, so that members do not come all at once.
  const auto half = static_cast<uint64_t>(next_pause_.count()) / 2;
  const Duration own(static_cast<int64_t>(half + random_.below(2 * half + 1)));
  next_pause_ = std::min(next_pause_ + next_pause_ / 2, options_.longest_pause);
  const Duration pause = std::max(own, sent.pause);
  if (pause >= until_ - clock_.now()) return false;
  paused_ = true;
  lane_.post_after(pause, [this, pause = ++pause_] { resume(pause); });
  return true;
}

void Batcher::resume(uint64_t pause) {
  if (pause != pause_ || closing_) return;
  paused_ = false;
  if (send_batch()) batch_is_over();
}

void Batcher::give_up(std::string_view error) {
  last_error_ = error;
  failed_.fetch_add(batch_.size(), std::memory_order_relaxed);
  batch_.clear();
}

void Batcher::close(Duration patience, Task done) {
  closed_.store(true, std::memory_order_relaxed);
  lane_.post([this, until = clock_.now() + patience, done = std::move(done)]() mutable {
    close_now(until);
    done();
  });
}

void Batcher::close_now(MonotonicTime until) {
  closing_ = true;
  until_ = until;
  paused_ = false;
  if (!batch_.empty()) send_batch();
  while (next_batch()) send_batch();
  any_line_ = false;
  report();
}

// The first loss at once, then what has been lost since the last line.
void Batcher::report() {
  const Counts now = counts();
  CHECK(reported_.dropped <= now.dropped);
  CHECK(reported_.failed <= now.failed);
  const uint64_t dropped = now.dropped - reported_.dropped;
  const uint64_t failed = now.failed - reported_.failed;
  if (dropped + failed == 0 && last_error_.empty()) return;
  const MonotonicTime at = clock_.now();
  if (any_line_ && at - last_line_ < options_.between_lines) return;
  log::warn(dropped + failed > 0 ? "could not export all spans" : "the spans' collector warns",
            {{"dropped", dropped}, {"failed", failed}, {"error", last_error_}});
  last_error_.clear();
  reported_ = now;
  last_line_ = at;
  any_line_ = true;
}

Batcher::Counts Batcher::counts() const {
  return {.sent = sent_.load(std::memory_order_relaxed),
          .dropped = queue_.dropped(),
          .failed = failed_.load(std::memory_order_relaxed)};
}

}  // namespace keelson::trace
