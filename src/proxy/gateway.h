// proxy/gateway.h
//
// Gateway leads each client to a server of the cluster and keeps the two joined. A server that
// cannot be reached is left out until it answers again, which is tried after a while, and again.
//
// Threads: made on any; admit() on the first of the loops, where endpoints are chosen and called,
//   the others as they say. Relays are spread over all loops.
// Lifetime: loops, dialer and randomness outlive it. It is destroyed once the loops have stopped.
// Bounds: clients, those who are being connected among them; relays as in proxy/relay.h.
// Source: etcd v3.7.1, server/proxy/tcpproxy (what is retried when, the log's words).

#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/loop.h"
#include "net/timer_wheel.h"
#include "proxy/dialer.h"
#include "proxy/endpoints.h"
#include "proxy/relay.h"

namespace keelson::proxy {

class Gateway final : public std::enable_shared_from_this<Gateway> {
 public:
  struct Options {
    // After which a server that could not be reached is tried again. Positive.
    Duration retry_delay = std::chrono::minutes(1);
    // Clients at a time.
    size_t most = SIZE_MAX;
  };

  Gateway(std::vector<net::Loop*> loops, std::vector<Endpoint> endpoints, Dialer* dialer,
          Random* random, Options options);
  ~Gateway();

  // Whether another client may be admitted. Any thread; exact on the first loop.
  bool room() const { return clients() < options_.most; }
  size_t clients() const { return clients_.load(std::memory_order_relaxed); }

  // REQUIRES: there is room.
  void admit(Line client);

  // Ends in order, begun on any thread but the loops: nobody is connected any more, relays finish,
  // and the dialer is stopped. True when there are no clients left at `until`.
  void begin_drain();
  bool wait_until_empty(std::chrono::steady_clock::time_point until);
  // Cuts what is left, on the loops, later.
  void cut();

 private:
  // A client's place among those that are counted, until it is dropped or passed on.
  class Seat {
   public:
    explicit Seat(std::shared_ptr<Gateway> gateway) : gateway_(std::move(gateway)) {}
    Seat(Seat&&) = default;
    ~Seat() {
      if (gateway_) gateway_->left();
    }
    void pass_on() { gateway_ = nullptr; }

   private:
    std::shared_ptr<Gateway> gateway_;
  };
  // A client that has no server yet. Dropped, it is turned away.
  struct Caller {
    Seat seat;
    Line line;
    Endpoints::Tried tried;
  };
  // Tries a server again that could not be reached.
  class Recheck final : public net::Timer {
   public:
    Recheck(Gateway* gateway, size_t number) : gateway_(*gateway), number_(number) {}
    void on_timer() override { gateway_.recheck(number_); }

   private:
    Gateway& gateway_;
    const size_t number_;
  };
  using Relays = std::unordered_map<Relay*, std::shared_ptr<Relay>>;

  void connect(Caller caller);
  void answered(Caller caller, size_t number, absl::StatusOr<Line> server);
  void note_nobody();
  void join(Caller caller, Line server);
  void add(size_t loop, Caller caller, Line server);
  void remove(size_t loop, Relay* relay);
  void left();
  void each_relay(void (Relay::*what)());

  void failed(size_t number, const absl::Status& why);
  void recheck(size_t number);
  void rechecked(size_t number, const absl::Status& answer);
  void arm(size_t number);
  void note_shortage(const absl::Status& why);

  net::Loop& first_loop() { return *loops_.front(); }

  const std::vector<net::Loop*> loops_;
  const Options options_;
  Dialer& dialer_;

  // The first loop's.
  Endpoints endpoints_;
  std::vector<std::unique_ptr<Recheck>> rechecks_;  // armed exactly while its endpoint is inactive
                                                    // and not being called
  size_t next_loop_ = 0;
  bool said_nobody_ = false;  // the log knows that no server is active
  MonotonicTime next_shortage_line_{};

  std::vector<Relays> relays_;  // each its loop's own
  std::atomic<bool> draining_{false};
  std::atomic<size_t> clients_{0};  // <= options_.most
  std::mutex mutex_;                // for who waits
  std::condition_variable changed_;
};

}  // namespace keelson::proxy
