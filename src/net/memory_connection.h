// net/memory_connection.h
//
// An HTTP/2 connection in memory, for tests and the fuzzer: our session on one side with a loop and
// a clock that the test turns, raw bytes or an nghttp2 client on the other.

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "net/http1_session.h"
#include "net/http2_session.h"
#include "net/loop_impl.h"
#include "net/protocol.h"

namespace keelson::net {

class ManualClock final : public Clock {
 public:
  MonotonicTime now() const override { return now_; }
  Duration unix_time() const override { return now_.since_origin; }
  void advance(Duration by) { now_ = now_ + by; }

 private:
  MonotonicTime now_{std::chrono::hours(1)};
};

// The server's side. Output gathers until taken; `socket_full` makes the socket take nothing.
template <typename Session>
class MemoryServer final : public ProtocolHost, private Holder {
 public:
  explicit MemoryServer(const Router* router, const ListenerOptions& options = {},
                        CallObserver* observer = nullptr)
      : MemoryServer(nullptr, router, options, observer) {}
  // On the same loop and clock as another one, which outlives it.
  MemoryServer(MemoryServer* beside, const Router* router, const ListenerOptions& options)
      : MemoryServer(beside, router, options, nullptr) {}
  ~MemoryServer() { close(); }

  bool feed(std::string_view bytes) {
    alive_ = alive_ && session_->receive(bytes);
    settle();
    return alive_;
  }
  // Runs the loop until nothing is ready, as the end of batches would.
  void settle() {
    if (!session_) return;
    while (loop_.run_ready() > 0) {
    }
    if (!socket_full && alive_) {
      alive_ = session_->produce(queue_, kOutputLimit);
      socket_full = fills_up;
    }
    while (loop_.run_ready() > 0) {
    }
  }
  // Turns the clock, in steps so that timers fire in order.
  void advance(Duration by) {
    for (Duration done{0}; done < by;) {
      Duration step = std::min<Duration>(std::chrono::seconds(1), by - done);
      clock.advance(step);
      done += step;
      settle();
    }
  }
  // What the socket has taken so far.
  std::string take() {
    std::string out;
    while (queue_.size() > 0) {
      iovec pieces[16];
      size_t n = queue_.gather(pieces);
      for (size_t i = 0; i < n; ++i) {
        out.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
        queue_.consume(pieces[i].iov_len);
      }
    }
    return out;
  }
  void close() {
    if (!session_) return;
    session_->closed();
    session_.reset();
    while (loop_.run_ready() > 0) {
    }
  }
  Session& session() { return *session_; }
  HeldBytes& incoming() override { return incoming_; }
  HeldBytes& outgoing() override { return outgoing_; }
  bool finished() const { return !alive_ || session_->finished(); }

  void wake() override {}
  void hand_over(ProtocolFactory, std::string) override { CHECK(false); }  // needs a connection
  Loop& loop() override { return loop_; }
  const PeerInfo& peer() const override { return peer_; }
  size_t unsent() const override { return socket_full ? queue_.size() : 0; }

  ManualClock own_clock;
  ManualClock& clock;
  bool socket_full = false;
  bool fills_up = false;  // with what is produced next

 private:
  MemoryServer(MemoryServer* beside, const Router* router, const ListenerOptions& options,
               CallObserver* observer)
      : clock(beside ? beside->clock : own_clock),
        own_loop_(beside ? nullptr : std::make_unique<Loop>(&clock)),
        loop_(beside ? beside->loop_ : *own_loop_),
        context_{router, observer, with_budgets(options)},
        incoming_(context_.options.budgets->incoming, &loop_, options.connection_incoming, this),
        outgoing_(context_.options.budgets->outgoing, &loop_, options.connection_outgoing, this) {
    session_ = std::make_unique<Session>(&context_, this);
  }
  static ListenerOptions with_budgets(ListenerOptions options) {
    if (!options.budgets) options.budgets = std::make_shared<HeldBudgets>(1);
    return options;
  }

  void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const override {
    if (session_) session_->each_held(sort, visit);
  }
  void give_up(HeldSort sort, int64_t id) override {
    if (id != HeldItem::kConnection) return session_->give_up(sort, id);
    alive_ = false;
    session_->closed();
  }

  std::unique_ptr<Loop> own_loop_;
  Loop& loop_;
  ServerContext context_;
  PeerInfo peer_{.address = "memory"};
  HeldBytes incoming_;
  HeldBytes outgoing_;
  OutQueue queue_;
  bool alive_ = true;
  std::unique_ptr<Session> session_;
};

}  // namespace keelson::net
