#include "load/watch_load.h"

#include <algorithm>
#include <cstring>

#include "base/protobuf.h"
#include "load/messages.h"

namespace keelson::bench {
namespace {

constexpr uint64_t kTick = 1'000'000;  // ns
constexpr size_t kMaxPutsInFlight = 512;
constexpr uint64_t kKeys = 1000;

uint64_t to_ns(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

// The field of a message that holds bytes; empty when it is not there.
std::string_view bytes_of_field(std::string_view message, uint32_t number) {
  pb::Reader reader(message);
  pb::Field field;
  std::string_view found;
  while (reader.next(&field)) {
    if (field.number == number && field.type == pb::kBytes) found = field.bytes;
  }
  return found;
}

}  // namespace

WatchLoad::WatchLoad(const WatchOptions& options)
    : options_(options),
      streams_(options.streams),
      writers_(kMaxPutsInFlight),
      value_(std::max<size_t>(options.value_size, 8), 'w'),
      cpu_(options.servers) {
  for (size_t i = 0; i < options_.connections; ++i) {
    connections_.push_back(std::make_unique<Connection>(&poller_, options_.endpoint));
  }
  writer_ = std::make_unique<Connection>(&poller_, options_.endpoint);
  for (Call& call : writers_) {
    call.observer = this;
    call.path = kPutPath;
    free_writers_.push_back(&call);
  }
  open_streams();
}

void WatchLoad::open_streams() {
  std::string end = prefix_end(options_.prefix);
  for (size_t i = 0; i < streams_.size(); ++i) {
    Call& call = streams_[i];
    call.observer = this;
    call.path = kWatchPath;
    call.stream = true;
    for (size_t w = i; w < options_.watchers; w += streams_.size()) {
      add_watch_create(call.request, options_.prefix, end);
    }
    connections_[i % connections_.size()]->start(&call);
  }
  for (auto& connection : connections_) connection->flush();
}

void WatchLoad::run(JsonLine* line) {
  uint64_t patience = now_ns() + to_ns(options_.patience);
  while (created_ < options_.watchers) {
    poller_.run_once(100);
    if (now_ns() > patience) fail("not all watches were created in time");
  }
  ticker_ = std::make_unique<Ticker>(&poller_, kTick, this);
  began_ = UINT64_MAX;
  write_until(now_ns() + to_ns(options_.warm_up));
  began_ = now_ns();
  cpu_.start();
  write_until(began_ + to_ns(options_.seconds));
  uint64_t give_up = now_ns() + to_ns(options_.patience);
  while ((puts_done_ < puts_started_ || !all_arrived()) && now_ns() < give_up) {
    poller_.run_once(100);
  }
  cpu_.stop();

  double seconds = static_cast<double>(std::max(last_event_, began_ + 1) - began_) / 1e9;
  uint64_t missing = all_arrived() ? 0 : puts_done_ * options_.watchers - events_;
  line->add("ops", events_);
  line->add("seconds", seconds);
  line->add("throughput", static_cast<double>(events_) / seconds);
  line->add("bytes_per_s", static_cast<double>(bytes_) / seconds);
  line->add("errors", errors_);
  line->add("puts", puts_done_);
  line->add("puts_not_started", puts_skipped_);
  line->add("events_missing", missing);
  line->add("messages", messages_);
  line->add("", lag_);
  line->add("put_", put_latency_);
  cpu_.report(line, events_);
}

void WatchLoad::write_until(uint64_t deadline) {
  writing_ = true;
  while (now_ns() < deadline) poller_.run_once(100);
  writing_ = false;
}

// ---- puts

void WatchLoad::on_tick(uint64_t periods) {
  if (!writing_) return;
  due_ += options_.puts_per_second * static_cast<double>(periods * kTick) / 1e9;
  for (; due_ >= 1; due_ -= 1) {
    if (free_writers_.empty()) {
      ++puts_skipped_;
    } else {
      put();
    }
  }
  writer_->flush();
}

void WatchLoad::put() {
  Call* call = free_writers_.back();
  free_writers_.pop_back();
  uint64_t now = now_ns();
  std::memcpy(value_.data(), &now, sizeof now);
  call->request.clear();
  add_put(call->request, options_.prefix + std::to_string(key_++ % kKeys), value_);
  writer_->start(call);
  call->started = now;  // the very time in the value
  if (now >= began_) ++puts_started_;
}

void WatchLoad::on_done(Call& call) {
  if (call.stream) fail("a watch stream ended");
  if (!call.ok()) {
    ++errors_;
  }
  if (call.started >= began_) {
    ++puts_done_;
    put_latency_.record(now_ns() - call.started);
  }
  free_writers_.push_back(&call);
}

// ---- events

void WatchLoad::on_message(Call&, std::string_view message) {
  uint64_t now = now_ns();
  ++messages_;
  pb::Reader reader(message);
  pb::Field field;
  bool canceled = false;
  while (reader.next(&field)) {
    if (field.number == 11) take_event(field.bytes, now);
    if (field.number == 3 && field.value != 0) ++created_;
    if (field.number == 4 && field.value != 0) canceled = true;
  }
  if (canceled || !reader.ok()) ++errors_;
  bytes_ += message.size();
}

void WatchLoad::take_event(std::string_view event, uint64_t now) {
  std::string_view value = bytes_of_field(bytes_of_field(event, 2), 5);
  uint64_t started = 0;
  if (value.size() < sizeof started) return void(++errors_);
  std::memcpy(&started, value.data(), sizeof started);
  if (started < began_) return;
  ++events_;
  last_event_ = now;
  lag_.record(now - started);
}

}  // namespace keelson::bench
