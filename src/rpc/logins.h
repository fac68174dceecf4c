// rpc/logins.h
//
// Logins hashes and checks passwords. bcrypt is made to be slow, so that is for threads of its own:
// neither the lanes nor the workers of reads wait for it.
//
// Fairness: clients (net/client_number.h: nobody has a user's name yet) take turns, one job each.
//   One has only so many waiting, and is refused beyond, whatever the others do.
// Threads: run() on the call's loop; jobs on a thread; what they return on the loop again.
// Bounds: errors::RequestTooManyRequests() beyond kMostWaiting, of one client beyond kMostOfOne.
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

  // How often somebody was refused. Any thread.
  uint64_t times_full() const { return workers_.times_full(); }
  uint64_t times_over_share() const { return workers_.times_over_share(); }

 private:
  Workers workers_;
};

}  // namespace keelson::rpc
