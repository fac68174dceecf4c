// server/server.h
//
// Server is the running program: it opens the data directory, brings the node up on its lanes,
// serves the listeners, and takes all of it down in order.
//
// Threads: start(), stop() and the destructor on the main thread.
// Failure: what makes the member untrustworthy is logged and ends the process with status 1; see
//   Options::fatal for tests.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config.h"

namespace keelson::server {

class Server {
 public:
  // From any lane.
  struct Calls {
    std::function<void(absl::Status)> fatal;
    // Clients can be served: the member has caught up with a leader, and the others know it. Once.
    std::function<void()> ready;
    // The member is none of the cluster any more: it must end, and not come back. May come often.
    std::function<void()> removed;
    // Asked while a start waits for others: whether it should not go on. On the thread that starts.
    std::function<bool()> given_up;
  };

  // Returns once the member is running and takes part in its cluster. Errors say which file,
  // directory or address is wrong.
  static absl::StatusOr<std::unique_ptr<Server>> start(const Config& config, Calls calls);
  // Stops if stop() was not called.
  ~Server();

  // Serves the clients' ports. After Calls::ready.
  absl::Status serve();

  // From now on calls `beat` about every `interval`, for as long as consensus and all io lanes
  // turn. At most once; `beat` runs on a lane, until stop().
  void watch_lanes(Duration interval, std::function<void()> beat);

  // Graceful end: no new connections, streams are told to go elsewhere, running calls finish (up to
  // `deadline`, for all listeners together), the leadership is handed over, log and store made
  // durable.
  absl::Status stop(Duration deadline);

  // The minor version of the etcd 3 that the operator takes this member down to (server/leaving.h),
  // as the cluster's records had it at the end. After stop().
  std::optional<int> leaves_for() const;

  struct Running;

 private:
  explicit Server(std::unique_ptr<Running> running);
  std::unique_ptr<Running> running_;
};

}  // namespace keelson::server
