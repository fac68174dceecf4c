// proxy/client_stream.h
//
// ClientStream is a client's stream of the gRPC proxy between its connection's loop and the lane
// where streams come together: requests go there, messages and the end come back.
//
// Bounds: kMostRequests requests that the lane has not answered, behind which the client is held
//   back, as it is while it does not take what there is for it.
// Threads: the loop's but for ClientSink, which is the lane's.
// Lifetime: the loop's side, which the call owns, and whoever is on the lane hold it together.

#pragma once

#include <atomic>
#include <memory>

#include "base/executor.h"
#include "net/grpc.h"

namespace keelson::proxy {

// The lane's side. Called by who is in the middle of telling all clients: what a sink has to say to
// the hubs it says later.
class ClientSink {
 public:
  virtual ~ClientSink() = default;
  virtual void send(Parts message) = 0;
  // Sent, and not taken by the client yet.
  virtual size_t unread() const = 0;
  // `told` runs on the lane once what was sent has been taken, unless the client goes before.
  virtual void when_read(Task told) = 0;
  // One request has been answered, or needs no answer.
  virtual void answered() = 0;
  virtual void end(absl::Status why) = 0;
};

class ClientStream final : public ClientSink, public std::enable_shared_from_this<ClientStream> {
 public:
  static constexpr size_t kMostRequests = 128;
  static constexpr size_t kMostPending = size_t{256} << 10;

  ClientStream(net::CallRef call, Executor* lane) : call_(std::move(call)), lane_(*lane) {}

  // ---- on the loop

  net::ServerCall& call() { return *call_; }
  Executor& lane() { return lane_; }
  // A request goes to the lane, which calls answered().
  void requested();
  void on_writable();
  // Ends the call, with success, once all requests have been answered.
  void finish_when_answered();

  // ---- on the lane

  void send(Parts message) override;
  size_t unread() const override { return handed_ + pending_; }
  void when_read(Task told) override;
  void answered() override;
  void end(absl::Status why) override;

 private:
  void look();
  bool is_full() const;

  const net::CallRef call_;
  Executor& lane_;
  std::atomic<size_t> handed_{0};   // bytes on their way to the loop
  std::atomic<size_t> pending_{0};  // that the call held when the loop last looked
  // The loop's.
  size_t requests_ = 0;
  bool reading_ = true;
  bool finishing_ = false;
  Task told_;
};

}  // namespace keelson::proxy
