#include "rpc/logins.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/errors.h"

namespace keelson::rpc {
namespace {

// Half of the machine may be busy with passwords, when nothing else wants it.
int thread_count() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
}

}  // namespace

Logins::Logins()
    : workers_({.name = "login",
                .threads = thread_count(),
                .threads_per_connection = 1,
                .max_waiting = kMostWaiting,
                .max_waiting_of_connection = kMostOfOne,
                .niceness = 5}) {}

void Logins::run(net::CallRef call, Work work) {
  const bool taken = workers_.run(call->peer().client, [call, work = std::move(work)](int) mutable {
    if (call->over()) return;
    Task then = work();
    call->loop().post([call, then = std::move(then)]() mutable { then(); });
  });
  if (!taken) call->fail(errors::RequestTooManyRequests());
}

}  // namespace keelson::rpc
