#include "rpc/logins.h"

#include <algorithm>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/hash/hash.h"
#include "base/errors.h"
#include "base/text.h"

namespace keelson::rpc {
namespace {

// Half of the machine may be busy with passwords, when nothing else wants it.
int thread_count() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
}

// Whose turn it is. Addresses are "host:port", or a name where there is no port.
uint64_t owner_of(std::string_view address) {
  const std::string_view host = address.substr(0, address.rfind(':'));
  const bool is_here = host.starts_with("127.") || host == "[::1]";
  return absl::Hash<absl::string_view>()(to_absl(is_here ? address : host));
}

}  // namespace

Logins::Logins()
    : workers_({.name = "login",
                .threads = thread_count(),
                .threads_per_owner = 1,
                .max_waiting = kMostWaiting,
                .max_waiting_of_owner = kMostOfOne,
                .niceness = 5}) {}

void Logins::run(net::CallRef call, Work work) {
  const uint64_t owner = owner_of(call->peer().address);
  const bool taken = workers_.run(owner, [call, work = std::move(work)](int) mutable {
    if (call->over()) return;
    Task then = work();
    call->loop().post([call, then = std::move(then)]() mutable { then(); });
  });
  if (!taken) call->fail(errors::RequestTooManyRequests());
}

}  // namespace keelson::rpc
