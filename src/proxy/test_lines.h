// proxy/test_lines.h
//
// For tests: connections in memory, under a loop and a clock that the test turns. A FarEnd is what
// the test holds of one: it says, hears, and breaks off; what it takes and when is the test's
// choice, too.
//
// Threads: one.

#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "net/memory_connection.h"
#include "proxy/dialer.h"

namespace keelson::proxy {

struct FarEnd {
  // By the test.
  void say(std::string_view bytes) { said += bytes; }
  void say_last() { said_last = true; }
  void break_off() { broken = true; }

  std::string said;  // and not read yet
  bool said_last = false;
  bool broken = false;
  size_t room = SIZE_MAX;  // how much more it takes

  // By the transport.
  std::string heard;
  bool heard_last = false;  // no more will be said to it
  bool closed = false;      // an end, or …
  bool reset = false;       // … a failure, which is an end, too
  bool used = false;        // somebody made a transport of the line
};

// Events come from pump(), never from inside the caller.
class TestTransport final : public net::Transport {
 public:
  TestTransport(std::shared_ptr<FarEnd> end, net::TransportEvents* events,
                std::deque<TestTransport*>* all)
      : end_(std::move(end)), events_(events), all_(*all) {
    end_->used = true;
    all_.push_back(this);
  }
  ~TestTransport() override {
    close();
    all_.erase(std::find(all_.begin(), all_.end(), this));
  }

  void read(std::span<char> buffer, std::shared_ptr<void> keep) override {
    CHECK(buffer_.empty());
    buffer_ = buffer;
    keep_ = std::move(keep);
  }
  size_t write(std::span<const iovec> pieces, std::shared_ptr<void> keep) override {
    CHECK(!end_->heard_last);
    CHECK(!full_);
    size_t written = 0;
    for (const iovec& piece : pieces) {
      const size_t n = end_->broken ? 0 : std::min(piece.iov_len, end_->room);
      end_->heard.append(static_cast<const char*>(piece.iov_base), n);
      if (end_->room != SIZE_MAX) end_->room -= n;
      written += n;
      full_ = full_ || n < piece.iov_len;
    }
    if (full_) keep_ = std::move(keep);
    return written;
  }
  void shutdown_write() override { end_->heard_last = true; }
  void close() override {
    if (closed_) return;
    closed_ = end_->closed = true;
    buffer_ = {};
    std::shared_ptr<void> keep = std::move(keep_);
  }
  void abort() override {
    if (!closed_) end_->reset = true;
    close();
  }

  // One event, if there is one to tell.
  bool pump() {
    if (closed_) return false;
    std::shared_ptr<void> keep = keep_;
    if (full_ && end_->room > 0 && !end_->broken) {
      full_ = false;
      events_->on_writable();
      return true;
    }
    if (!buffer_.empty() && !end_->said.empty()) return receive();
    if (end_->broken && (full_ || !buffer_.empty())) {
      full_ = false;
      buffer_ = {};
      events_->on_error();
      return true;
    }
    if (!buffer_.empty() && end_->said_last) {
      buffer_ = {};
      events_->on_read(0);
      return true;
    }
    if (end_->broken && !std::exchange(told_, true)) {
      events_->on_gone(true);
      return true;
    }
    return false;
  }

 private:
  bool receive() {
    const std::span<char> buffer = std::exchange(buffer_, {});
    const size_t n = std::min(buffer.size(), end_->said.size());
    std::copy_n(end_->said.data(), n, buffer.data());
    end_->said.erase(0, n);
    events_->on_read(n);
    return true;
  }

  const std::shared_ptr<FarEnd> end_;
  net::TransportEvents* const events_;
  std::deque<TestTransport*>& all_;
  std::span<char> buffer_;
  std::shared_ptr<void> keep_;
  bool full_ = false;
  bool closed_ = false;
  bool told_ = false;
};

// The loop, the clock, and all connections.
class TestNetwork {
 public:
  ~TestNetwork() { settle(); }

  // A line to `end`; dropped, it closes it.
  Line line(std::shared_ptr<FarEnd> end) {
    auto closer = std::shared_ptr<FarEnd>(end.get(), [end](FarEnd* it) {
      if (!it->used) it->closed = true;
    });
    return [this, end, closer](net::Loop*, net::TransportEvents* events) {
      return std::make_unique<TestTransport>(end, events, &transports_);
    };
  }

  // Until nothing is ready.
  void settle() {
    bool any = true;
    while (any) {
      any = loop.run_ready() > 0;
      // Any of these may come and go meanwhile.
      const std::deque<TestTransport*> now = transports_;
      for (TestTransport* transport : now) {
        if (std::find(transports_.begin(), transports_.end(), transport) == transports_.end()) {
          continue;
        }
        any = transport->pump() || any;
      }
    }
  }
  void advance(Duration by) {
    clock.advance(by);
    settle();
  }

  net::ManualClock clock;

 private:
  std::deque<TestTransport*> transports_;

 public:
  net::Loop loop{&clock};
};

// Calls are answered when the test says so.
class TestDialer final : public Dialer {
 public:
  explicit TestDialer(TestNetwork* network) : network_(*network) {}

  void dial(const Endpoint& endpoint, Done done) override {
    CHECK(!stopped_);
    calls_.push_back({endpoint.address(), std::move(done)});
  }
  void stop() override {
    stopped_ = true;
    calls_.clear();
  }

  // For another gateway.
  void reset() {
    calls_.clear();
    stopped_ = false;
  }

  size_t waiting() const { return calls_.size(); }
  std::string called() const { return calls_.empty() ? "" : calls_.front().address; }
  // The oldest call.
  std::shared_ptr<FarEnd> accept() {
    auto end = std::make_shared<FarEnd>();
    answer(network_.line(end));
    return end;
  }
  void refuse(absl::Status why = absl::UnavailableError("connection refused")) {
    answer(std::move(why));
  }

 private:
  struct Call {
    std::string address;
    Done done;
  };
  void answer(absl::StatusOr<Line> with) {
    CHECK(!calls_.empty());
    Call call = std::move(calls_.front());
    calls_.pop_front();
    call.done(std::move(with));
    network_.settle();
  }

  TestNetwork& network_;
  std::deque<Call> calls_;
  bool stopped_ = false;
};

}  // namespace keelson::proxy
