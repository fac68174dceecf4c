// proxy/dialer.h
//
// How a gateway comes to connections: Line is a connected socket that nobody uses yet, Dialer makes
// one to an endpoint. Both are interfaces for the sake of tests, whose lines are in memory.
//
// Threads: a dialer's are those of its loop. A line may be used on any, once.
// Lifetime: a line that is dropped is closed.

#pragma once

#include <memory>
#include <set>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "net/dial.h"
#include "net/resolver.h"
#include "net/transport.h"
#include "proxy/endpoints.h"

namespace keelson::proxy {

using Line =
    absl::AnyInvocable<std::unique_ptr<net::Transport>(net::Loop* loop, net::TransportEvents*)>;

// Takes over a connected, non-blocking descriptor.
Line socket_line(int fd);

class Dialer {
 public:
  // Errors: as of net/dial.h; ResourceExhausted says nothing of the endpoint.
  using Done = absl::AnyInvocable<void(absl::StatusOr<Line>)>;

  virtual ~Dialer() = default;
  // `done` is called once, on the dialer's loop, never from inside dial(); not after stop().
  virtual void dial(const Endpoint& endpoint, Done done) = 0;
  // Gives up what is under way.
  virtual void stop() = 0;
};

// Over TCP; each call looks the name up anew, and has five seconds in all.
class SocketDialer final : public Dialer {
 public:
  // Both outlive it.
  SocketDialer(net::Loop* loop, net::Resolver* resolver) : loop_(*loop), resolver_(*resolver) {}

  void dial(const Endpoint& endpoint, Done done) override;
  void stop() override;

 private:
  net::Loop& loop_;
  net::Resolver& resolver_;
  std::set<std::shared_ptr<net::Dial>> under_way_;
  bool stopped_ = false;
};

}  // namespace keelson::proxy
