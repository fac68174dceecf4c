#include "net/tls/handshakes.h"

#include <arpa/inet.h>
#include <pthread.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <string>
#include <utility>

#include "base/check.h"

namespace keelson::net {
namespace {

// How long a client may take to go on, when others want its place.
constexpr Duration kPatience = std::chrono::seconds(1);
constexpr Duration kPatienceWithMany = std::chrono::milliseconds(100);
constexpr auto kLook = std::chrono::milliseconds(50);      // for those who may be put out by then
constexpr size_t kMany = TlsHandshakes::kMostWaiting / 8;  // that wait, from one place
constexpr Duration kCrowdLasts = std::chrono::seconds(1);
constexpr int kLinesPerSecond = 20;

}  // namespace

TlsHandshakes::TlsHandshakes(int threads, size_t most, const Clock* clock)
    : most_(most), clock_(clock ? *clock : system_clock_), threads_(static_cast<size_t>(threads)) {
  CHECK(threads > 0);
  CHECK(most > 0);
  for (Thread& thread : threads_) thread = Thread([this] { work(); });
}

TlsHandshakes::~TlsHandshakes() {
  {
    std::lock_guard lock(mutex_);
    CHECK(fresh_.empty());
    CHECK(stalled_.empty());
    CHECK(resumed_ == 0);
    stopping_ = true;
  }
  changed_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

// Whoever has an IPv6 address has the whole network of it.
uint64_t TlsHandshakes::source_of(std::string_view remote) {
  const size_t colon = remote.rfind(':');
  std::string_view host = remote.substr(0, colon == std::string_view::npos ? remote.size() : colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    in6_addr address{};
    const std::string text(host.substr(1, host.find_first_of("%]") - 1));
    if (inet_pton(AF_INET6, text.c_str(), &address) == 1) {
      const bool mapped = IN6_IS_ADDR_V4MAPPED(&address);
      const auto* bytes = reinterpret_cast<const char*>(&address);
      return std::hash<std::string_view>()({bytes + (mapped ? 12 : 0), mapped ? 4u : 8u});
    }
  }
  return std::hash<std::string_view>()(host);
}

// ---- the lists

void TlsHandshakes::put(HandshakeStep* step, State state) {
  Source& source = sources_[step->source_];
  step->state_ = state;
  switch (state) {
    case State::kNew: {
      if (!std::exchange(source.fresh_turn, true)) fresh_turns_.push_back(step->source_);
      Steps& own = source.of(step->newcomer_);
      step->at_ = own.insert(own.end(), step);
      step->in_all_ = fresh_.insert(fresh_.end(), step);
      break;
    }
    case State::kResumed:
      if (!std::exchange(source.resumed_turn, true)) resumed_turns_.push_back(step->source_);
      step->at_ = source.resumed.insert(source.resumed.end(), step);
      ++resumed_;
      break;
    case State::kStalled:
      step->at_ = stalled_.insert(stalled_.end(), step);
      return;
    case State::kNone:
    case State::kRunning:
      return;
  }
  changed_.notify_one();
}

void TlsHandshakes::take(HandshakeStep* step) {
  switch (std::exchange(step->state_, State::kNone)) {
    case State::kNew:
      sources_[step->source_].of(step->newcomer_).erase(step->at_);
      fresh_.erase(step->in_all_);
      break;
    case State::kResumed:
      sources_[step->source_].resumed.erase(step->at_);
      CHECK(resumed_ > 0);
      --resumed_;
      break;
    case State::kStalled:
      stalled_.erase(step->at_);
      break;
    case State::kNone:
    case State::kRunning:
      break;
  }
}

// It is kept while it has a place in the turns, so that it does not get another.
void TlsHandshakes::forget_if_idle(uint64_t source) {
  const auto it = sources_.find(source);
  if (it == sources_.end()) return;
  const Source& s = it->second;
  if (s.counted == 0 && !s.fresh_turn && !s.resumed_turn) sources_.erase(it);
}

// ---- what becomes of a handshake

void TlsHandshakes::begin(HandshakeStep* step, uint64_t source, Newcomer newcomer) {
  std::lock_guard lock(mutex_);
  take(step);
  step->source_ = source;
  step->newcomer_ = newcomer;
  step->since_ = clock_.now();
  put(step, State::kNew);
  bound_waiting(source);
}

void TlsHandshakes::bound_waiting(uint64_t source) {
  if (fresh_.size() >= kCrowd) crowded_until_ = clock_.now() + kCrowdLasts;
  if (fresh_.size() <= kMostWaiting) return;
  Source& own = sources_[source];
  HandshakeStep* oldest = fresh_.front();
  if (own.waiting() > kMany) {
    oldest =
        std::max_element(own.fresh.begin(), own.fresh.end(), [](const Steps& a, const Steps& b) {
          return a.size() < b.size();
        })->front();
  }
  put_out(oldest);
}

void TlsHandshakes::stall(HandshakeStep* step) {
  std::lock_guard lock(mutex_);
  take(step);
  step->since_ = clock_.now();
  put(step, State::kStalled);
}

void TlsHandshakes::resume(HandshakeStep* step, bool heard) {
  std::lock_guard lock(mutex_);
  take(step);
  if (heard) return put(step, State::kResumed);
  step->newcomer_ = Newcomer::kUnproven;
  step->since_ = clock_.now();
  put(step, State::kNew);
  bound_waiting(step->source_);
}

bool TlsHandshakes::end(HandshakeStep* step) {
  std::lock_guard lock(mutex_);
  const bool free = step->state_ != State::kRunning;
  take(step);
  if (std::exchange(step->counted_, false)) {
    Source& source = sources_[step->source_];
    CHECK(counted_ > 0);
    CHECK(source.counted > 0);
    --counted_;
    --source.counted;
    if (!fresh_.empty()) changed_.notify_one();
  }
  forget_if_idle(step->source_);
  return free;
}

bool TlsHandshakes::may_log(uint64_t* unsaid) {
  std::lock_guard lock(mutex_);
  const MonotonicTime now = clock_.now();
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

TlsHandshakes::Counts TlsHandshakes::counts() const {
  std::lock_guard lock(mutex_);
  return {.running = counted_, .waiting = fresh_.size(), .asked = asked_, .put_out = put_out_};
}

// ---- the workers

HandshakeStep* TlsHandshakes::next_resumed() {
  while (!resumed_turns_.empty()) {
    const uint64_t number = resumed_turns_.front();
    Source& source = sources_[number];
    if (!source.resumed.empty()) {
      resumed_turns_.splice(resumed_turns_.end(), resumed_turns_, resumed_turns_.begin());
      HandshakeStep* step = source.resumed.front();
      take(step);
      return step;
    }
    resumed_turns_.pop_front();
    source.resumed_turn = false;
    forget_if_idle(number);
  }
  return nullptr;
}

HandshakeStep* TlsHandshakes::next_fresh(bool* ask) {
  for (size_t left = fresh_turns_.size(); left > 0; --left) {
    const uint64_t number = fresh_turns_.front();
    Source& source = sources_[number];
    if (source.waiting() > 0) {
      fresh_turns_.splice(fresh_turns_.end(), fresh_turns_, fresh_turns_.begin());
      if (HandshakeStep* step = choose(&source, ask)) return step;
      continue;
    }
    fresh_turns_.pop_front();
    source.fresh_turn = false;
    forget_if_idle(number);
  }
  return nullptr;
}

// Of one place, or null when it has to wait for room.
HandshakeStep* TlsHandshakes::choose(Source* source, bool* ask) {
  const bool room = counted_ < most_;
  const bool crowded = clock_.now() < crowded_until_;
  Steps& proven = source->of(Newcomer::kProven);
  Steps& unknown = source->of(Newcomer::kUnknown);
  Steps& unproven = source->of(Newcomer::kUnproven);
  Steps* from = nullptr;
  *ask = false;
  if (!proven.empty() && room) {
    from = &proven;
  } else if (!unknown.empty() && crowded &&
             (unproven.empty() || !room || source->asked_in_a_row < kTestsForOne)) {
    from = &unknown;
    *ask = true;
    if (source->asked_in_a_row < kTestsForOne) ++source->asked_in_a_row;
  } else if (!unknown.empty() && !crowded && room) {
    from = &unknown;
  } else if (!unproven.empty() && (room || unproven.back()->counted_)) {
    from = &unproven;
    source->asked_in_a_row = 0;
  }
  if (!from) return nullptr;
  HandshakeStep* step = from->back();
  take(step);
  *ask ? void(++asked_) : begins(source, step);
  return step;
}

void TlsHandshakes::begins(Source* source, HandshakeStep* step) {
  if (std::exchange(step->counted_, true)) return;
  ++counted_;
  ++source->counted;
  CHECK(counted_ <= most_);
}

HandshakeStep* TlsHandshakes::next(bool* ask) {
  *ask = false;
  HandshakeStep* step = next_resumed();
  return step ? step : next_fresh(ask);
}

void TlsHandshakes::put_out(HandshakeStep* step) {
  take(step);
  ++put_out_;
  step->put_out();
  forget_if_idle(step->source_);
}

void TlsHandshakes::put_out_late(MonotonicTime now) {
  while (!fresh_.empty() && now - fresh_.front()->since_ >= kLongestWait) {
    put_out(fresh_.front());
  }
}

// For each that waits. A place is free once the loop of who had it has closed it and called end().
void TlsHandshakes::make_room(MonotonicTime now) {
  if (counted_ < most_) return;
  for (size_t wanted = fresh_.size(); wanted > 0 && !stalled_.empty(); --wanted) {
    HandshakeStep* oldest = stalled_.front();
    const bool many = sources_[oldest->source_].counted > most_ / 2;
    if (now - oldest->since_ < (many ? kPatienceWithMany : kPatience)) return;
    put_out(oldest);
  }
}

void TlsHandshakes::work() {
  pthread_setname_np(pthread_self(), "handshake");
  std::unique_lock lock(mutex_);
  while (true) {
    const MonotonicTime now = clock_.now();
    put_out_late(now);
    make_room(now);
    bool ask = false;
    HandshakeStep* step = next(&ask);
    if (!step) {
      if (stopping_) return;
      fresh_.empty() ? changed_.wait(lock) : void(changed_.wait_for(lock, kLook));
      continue;
    }
    step->state_ = State::kRunning;
    lock.unlock();
    step->run_step(ask);
    lock.lock();
  }
}

}  // namespace keelson::net
