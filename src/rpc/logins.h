// rpc/logins.h
//
// Logins hashes and checks passwords. bcrypt is made to be slow, so that is for threads of its own:
// neither the lanes nor the workers of reads wait for it.
//
// Fairness: hosts take turns, one job each. Those on this machine, where gateways and proxies are,
//   take them by connection. One host has only so many waiting, and is refused beyond, whatever the
//   others do.
// Threads: run() on the call's loop; jobs on a thread; what they return on the loop again.
// Bounds: errors::RequestTooManyRequests() beyond kMostWaiting, of one host beyond kMostOfOne.
//   What belongs to a call that is over is not begun.
// Lifetime: stop() ends it, while the loops still live.

#pragma once

#include <cstddef>

#include "absl/functional/any_invocable.h"
#include "base/executor.h"
#include "base/workers.h"
#include "net/grpc.h"

namespace keelson::rpc {

class Logins {
 public:
  static constexpr size_t kMostWaiting = 1024;
  static constexpr size_t kMostOfOne = 64;

  Logins();
  // Does the work, and returns what is to be done on the loop then.
  using Work = absl::AnyInvocable<Task()>;
  void run(net::CallRef call, Work work);
  void stop() { workers_.stop(); }

 private:
  Workers workers_;
};

}  // namespace keelson::rpc
