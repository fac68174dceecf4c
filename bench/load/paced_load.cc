#include "load/paced_load.h"

#include <csignal>
#include <cstdio>
#include <ctime>

namespace keelson::bench {
namespace {

// What is still under way at the end has so long.
constexpr uint64_t kPatience = 20'000'000'000;

volatile std::sig_atomic_t interrupted = 0;

void interrupt(int) { interrupted = 1; }

uint64_t time_of_day_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// To standard error, so that the one line of figures stays one.
constexpr uint64_t kErrorsTold = 100;

void tell_error(const Call& call) {
  std::fprintf(stderr, "%.3f: status %d after %.3f s: %s\n",
               static_cast<double>(time_of_day_ns()) / 1e9, call.grpc_status,
               static_cast<double>(now_ns() - call.started) / 1e9, call.grpc_message.c_str());
}

}  // namespace

PacedLoad::PacedLoad(const PacedOptions& options, Work* work)
    : options_(options),
      period_(static_cast<uint64_t>(1e9 / options.rate)),
      work_(work),
      cpu_(options.servers) {
  for (const std::string& endpoint : options_.endpoints) {
    connections_.push_back(std::make_unique<Connection>(&poller_, endpoint));
  }
  // Without SA_RESTART: what waits is to wake up.
  struct sigaction action {};
  action.sa_handler = interrupt;
  sigaction(SIGINT, &action, nullptr);
}

bool PacedLoad::is_over(uint64_t now) const {
  if (interrupted != 0 || (options_.until_first && first_ != 0)) return true;
  return options_.seconds > 0 && static_cast<double>(now - began_) >= options_.seconds * 1e9;
}

void PacedLoad::run(JsonLine* line) {
  cpu_.start();
  began_ = next_due_ = now_ns();
  putting_ = true;
  put(began_);
  Ticker ticker(&poller_, period_, this);
  while (!is_over(now_ns())) poller_.run_once(100);
  putting_ = false;
  cpu_.stop();
  const uint64_t ended = now_ns();
  while (!options_.until_first && free_.size() < calls_.size() && now_ns() < ended + kPatience) {
    poller_.run_once(100);
  }
  line->add("ops", answered_);
  line->add("seconds", static_cast<double>(ended - began_) / 1e9);
  line->add("throughput",
            static_cast<double>(answered_) * 1e9 / static_cast<double>(ended - began_));
  line->add("errors", errors_);
  line->add("unanswered", started_ - answered_ - errors_);
  line->add("first_ns", first_);
  line->add("", latency_);
  cpu_.report(line, answered_);
}

void PacedLoad::on_tick(uint64_t periods) {
  for (; putting_ && periods > 0; --periods) put(next_due_ += period_);
}

void PacedLoad::put(uint64_t due) {
  if (free_.empty()) {
    calls_.emplace_back();
    calls_.back().observer = this;
    calls_.back().path = work_->path();
    free_.push_back(&calls_.back());
  }
  Call* const call = free_.back();
  free_.pop_back();
  call->request.clear();
  work_->next(0, call->request);
  Connection& connection = *connections_[started_++ % connections_.size()];
  connection.start(call);
  call->started = due;
  connection.flush();
}

void PacedLoad::on_done(Call& call) {
  free_.push_back(&call);
  if (!work_->done(call)) {
    if (++errors_ <= kErrorsTold) tell_error(call);
    return;
  }
  const uint64_t now = now_ns();
  ++answered_;
  if (first_ == 0) first_ = now;
  latency_.record(now - call.started);
}

}  // namespace keelson::bench
