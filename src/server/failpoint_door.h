// server/failpoint_door.h
//
// FailpointDoor is where tests arm failpoints by etcd's names while a member runs (base/gofail.h):
// the address in GOFAIL_HTTP, which etcd's own programs listen at when they are built for tests.
// Whoever reaches it can end the member at will, so it is there only if the environment asks.
//
// Threads: start() and the destructor on any; a loop of its own serves, so that no failpoint holds
//   up its answers.
// Errors: Unavailable or InvalidArgument, as net::Listener has them.

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/http.h"
#include "net/listener.h"
#include "net/loop.h"

namespace keelson::server {

class FailpointDoor final : private net::HttpHandler {
 public:
  // Null when the environment names no address.
  static absl::StatusOr<std::unique_ptr<FailpointDoor>> open_from_environment();
  ~FailpointDoor() override;

  const std::string& address() const { return listener_->address(); }

 private:
  FailpointDoor() = default;
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

  net::LoopPool loops_{1, "failpoints"};
  net::Router router_;
  std::unique_ptr<net::Listener> listener_;  // set by open_from_environment()
};

}  // namespace keelson::server
