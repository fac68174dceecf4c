// net/resolver.h
//
// Resolver finds the addresses of a host name, on threads of its own: a name server that does not
// answer holds up nobody but those who ask for that name.
//
// Threads: resolve() from any; `done` runs on the loop that was named. stop() from no loop.
// Bounds: some hundreds of questions wait; beyond that a question fails at once. One name has one
//   thread at a time.
// Lifetime: outlived by the loops that ask. An answer to a stopped loop is dropped with its inbox.

#pragma once

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/workers.h"
#include "net/address.h"
#include "net/loop.h"

namespace keelson::net {

class Resolver {
 public:
  // In the order to try them; never empty. Errors: Unavailable "lookup x: no such host", …
  using Addresses = absl::StatusOr<std::vector<Address>>;
  using Done = absl::AnyInvocable<void(Addresses)>;

  Resolver();

  // `port` is a number. An address written as such is found without a thread.
  void resolve(const std::string& host, const std::string& port, Loop* loop, Done done);

  // Whether one of `names` (perhaps "*.example.com") is a name of the address `host`: what the
  // address leads to is among them, or one of them leads to it. Ok: so it is. As etcd asks of the
  // certificates that members show (v3.7.1, client/pkg/transport, isHostInDNS()), with its text.
  using Named = absl::AnyInvocable<void(absl::Status)>;
  void find_name(const std::string& host, std::vector<std::string> names, Loop* loop, Named done);

  // Waits for questions under way (the system's resolver cannot be interrupted) and drops the rest.
  void stop() { workers_.stop(); }

 private:
  Workers workers_;
};

}  // namespace keelson::net
