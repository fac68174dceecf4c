#include "net/tls/handshakes.h"

#include <pthread.h>

#include <utility>

#include "base/check.h"

namespace keelson::net {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kLook = std::chrono::milliseconds(100);  // for those who may be put out by then
constexpr int kLinesPerSecond = 20;

}  // namespace

TlsHandshakes::TlsHandshakes(int threads, size_t most)
    : most_(most), threads_(static_cast<size_t>(threads)) {
  CHECK(threads > 0);
  CHECK(most > 0);
  for (Thread& thread : threads_) thread = Thread([this] { work(); });
}

TlsHandshakes::~TlsHandshakes() {
  {
    std::lock_guard lock(mutex_);
    CHECK(waiting_.empty());
    CHECK(ready_.empty());
    CHECK(stalled_.empty());
    stopping_ = true;
  }
  changed_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

TlsHandshakes::Steps* TlsHandshakes::list_of(HandshakeStep::Place place) {
  switch (place) {
    case HandshakeStep::Place::kWaiting:
      return &waiting_;
    case HandshakeStep::Place::kReady:
      return &ready_;
    case HandshakeStep::Place::kStalled:
      return &stalled_;
    default:
      return nullptr;
  }
}

void TlsHandshakes::put(HandshakeStep* step, HandshakeStep::Place place) {
  Steps* list = list_of(place);
  step->place_ = place;
  step->at_ = list->insert(list->end(), step);
  if (place == HandshakeStep::Place::kReady) changed_.notify_one();
}

void TlsHandshakes::take(HandshakeStep* step) {
  if (Steps* list = list_of(step->place_)) list->erase(step->at_);
  step->place_ = HandshakeStep::Place::kNone;
}

// Its place is free once its loop has closed it and called end().
void TlsHandshakes::make_room() {
  if (stalled_.empty()) return;
  HandshakeStep* oldest = stalled_.front();
  if (Clock::now() - oldest->stalled_since_ < kPatience) return;
  take(oldest);
  oldest->put_out();
}

void TlsHandshakes::begin(HandshakeStep* step) {
  std::lock_guard lock(mutex_);
  if (counted_ < most_) {
    ++counted_;
    step->counted_ = true;
    return put(step, HandshakeStep::Place::kReady);
  }
  put(step, HandshakeStep::Place::kWaiting);
  changed_.notify_one();
}

void TlsHandshakes::stall(HandshakeStep* step) {
  std::lock_guard lock(mutex_);
  take(step);
  step->stalled_since_ = Clock::now();
  put(step, HandshakeStep::Place::kStalled);
}

void TlsHandshakes::resume(HandshakeStep* step) {
  std::lock_guard lock(mutex_);
  take(step);
  put(step, HandshakeStep::Place::kReady);
}

bool TlsHandshakes::end(HandshakeStep* step) {
  std::lock_guard lock(mutex_);
  const bool free = step->place_ != HandshakeStep::Place::kRunning;
  take(step);
  if (step->counted_) {
    step->counted_ = false;
    --counted_;
    if (!waiting_.empty()) {
      HandshakeStep* next = waiting_.front();
      take(next);
      ++counted_;
      next->counted_ = true;
      put(next, HandshakeStep::Place::kReady);
    }
  }
  CHECK(counted_ <= most_);
  return free;
}

bool TlsHandshakes::may_log(uint64_t* unsaid) {
  std::lock_guard lock(mutex_);
  auto now = Clock::now();
  if (now - log_second_ >= std::chrono::seconds(1)) {
    log_second_ = now;
    logged_ = 0;
  }
  if (logged_ >= kLinesPerSecond) {
    ++unsaid_;
    return false;
  }
  ++logged_;
  *unsaid = std::exchange(unsaid_, 0);
  return true;
}

size_t TlsHandshakes::running() const {
  std::lock_guard lock(mutex_);
  return counted_;
}

void TlsHandshakes::work() {
  pthread_setname_np(pthread_self(), "handshake");
  std::unique_lock lock(mutex_);
  while (true) {
    const auto wanted = [this] { return stopping_ || !ready_.empty(); };
    if (waiting_.empty()) {
      changed_.wait(lock, [&] { return wanted() || !waiting_.empty(); });
    } else if (!changed_.wait_for(lock, kLook, wanted)) {
      for (size_t i = waiting_.size(); i > 0; --i) make_room();
    }
    if (ready_.empty()) {
      if (stopping_) return;
      continue;
    }
    HandshakeStep* step = ready_.front();
    take(step);
    step->place_ = HandshakeStep::Place::kRunning;
    lock.unlock();
    step->run_step();
    lock.lock();
  }
}

}  // namespace keelson::net
