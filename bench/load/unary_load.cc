#include "load/unary_load.h"

namespace keelson::bench {
namespace {

constexpr int kResourceExhausted = 8;

uint64_t to_ns(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

}  // namespace

UnaryLoad::UnaryLoad(const UnaryOptions& options, Work* work)
    : options_(options),
      work_(work),
      calls_(options.connections * options.streams),
      cpu_(options.servers) {
  for (size_t i = 0; i < options_.connections; ++i) {
    connections_.push_back(
        std::make_unique<Connection>(&poller_, options_.endpoints[i % options_.endpoints.size()]));
  }
  for (size_t i = 0; i < calls_.size(); ++i) {
    calls_[i].observer = this;
    calls_[i].slot = i;
    calls_[i].path = work_->path();
    calls_[i].keep_answer = work_->reads_answer();
  }
}

void UnaryLoad::run(JsonLine* line) {
  uint64_t now = now_ns();
  measure_from_now(now);
  if (options_.warm_up > 0) {
    measure_at_ = now + to_ns(options_.warm_up);
    stop_at_ = UINT64_MAX;
  }
  // One call per connection in turn, so that all get going together.
  for (size_t s = 0; s < options_.streams; ++s) {
    for (size_t c = 0; c < options_.connections; ++c) {
      Call& call = calls_[c * options_.streams + s];
      if (may_start()) start(call);
    }
  }
  for (auto& connection : connections_) connection->flush();
  run_until_idle();

  double seconds = static_cast<double>(ended_ - began_) / 1e9;
  line->add("ops", operations_);
  line->add("seconds", seconds);
  line->add("throughput", static_cast<double>(operations_) / seconds);
  line->add("bytes_per_s", static_cast<double>(bytes_) / seconds);
  line->add("errors", errors_);
  if (options_.until_refused) line->add("refused", refused_);
  line->add("", latency_);
  cpu_.report(line, operations_);
  work_->report(line);
}

void UnaryLoad::measure_from_now(uint64_t now) {
  measure_at_ = 0;
  began_ = now;
  if (options_.seconds > 0) stop_at_ = now + to_ns(options_.seconds);
  operations_ = bytes_ = 0;
  latency_.clear();
  cpu_.start();
}

void UnaryLoad::stop(uint64_t now) {
  ended_ = now;
  cpu_.stop();
}

// The time is looked at when calls end; a tick of epoll sees to it when none does.
void UnaryLoad::run_until_idle() {
  while (in_flight_ > 0) {
    poller_.run_once(100);
    uint64_t now = now_ns();
    if (ended_ == 0 && now >= stop_at_) stop(now);
    if (ended_ != 0 && now > ended_ + 20'000'000'000) fail("calls are stuck");
  }
  if (ended_ == 0) stop(now_ns());
}

bool UnaryLoad::may_start() const {
  return ended_ == 0 && (options_.count == 0 || started_ < options_.count);
}

void UnaryLoad::start(Call& call) {
  call.request.clear();
  work_->next(call.slot, call.request);
  ++started_;
  ++in_flight_;
  connections_[call.slot / options_.streams]->start(&call);
}

bool UnaryLoad::is_refused(const Call& call) const {
  return options_.until_refused && call.grpc_status == kResourceExhausted;
}

void UnaryLoad::on_done(Call& call) {
  uint64_t now = now_ns();
  --in_flight_;
  if (is_refused(call)) {
    ++refused_;
    if (ended_ == 0) stop(now);
    return;
  }
  if (!work_->done(call)) ++errors_;
  if (ended_ == 0) {
    ++operations_;
    bytes_ += call.received;
    latency_.record(now - call.started);
    if (measure_at_ != 0 && now >= measure_at_) measure_from_now(now);
    if (now >= stop_at_) stop(now);
  }
  if (may_start()) start(call);
}

}  // namespace keelson::bench
