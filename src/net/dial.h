// net/dial.h
//
// Dial makes a connected socket: finds the host's addresses and tries them in their order, each
// for its part of the time, until one takes the call.
//
// Threads: the loop's, all of it. Lifetime: whoever started it holds it until `done` or forget().
// Errors: in Go's words ("dial tcp 127.0.0.1:1: connect: connection refused"), Unavailable, or
//   DeadlineExceeded ("… i/o timeout"); ResourceExhausted for what this machine is short of
//   (descriptors, ports of its own, memory), which says nothing of the other side.
// Where the call comes from may be chosen, too: then what is of the other family is not tried.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "net/loop_impl.h"
#include "net/poller.h"
#include "net/resolver.h"
#include "net/timer_wheel.h"

namespace keelson::net {

// Whether that is what `failure` says: there is a machine, and nobody listens.
bool is_refused(const absl::Status& failure);

class Dial final : public std::enable_shared_from_this<Dial>, private Timer, private Watch {
 public:
  // What came of it: a non-blocking descriptor, the receiver's from now on. Never called from
  // inside start_*().
  using Done = absl::AnyInvocable<void(absl::StatusOr<int>)>;

  // `from`: an address of this machine, with port 0; nothing: the system chooses.
  static std::shared_ptr<Dial> start_tcp(Loop* loop, Resolver* resolver, const std::string& host,
                                         const std::string& port, Duration time,
                                         std::optional<Address> from, Done done);
  static std::shared_ptr<Dial> start_unix(Loop* loop, const std::string& path, Duration time,
                                          Done done);

  // Nobody waits for it any more: `done` is not called.
  void forget();

  Dial(Loop* loop, std::string network, Duration time, Done done);
  ~Dial();

 private:
  void found(Resolver::Addresses addresses);
  void try_next();
  absl::Status begin(Address& address);
  absl::Status bind(int fd);
  void on_ready(uint32_t events) override;
  void on_timer() override;
  void note(absl::Status failure);
  void give_up_attempt();
  void finish(absl::StatusOr<int> result);
  std::string named(std::string_view what) const;

  Loop& loop_;
  const std::string network_;  // "tcp" or "unix"
  MonotonicTime due_;
  Done done_;  // empty: over
  std::optional<Address> from_;
  std::vector<Address> addresses_;
  size_t next_ = 0;  // <= addresses_.size(); those before it have been tried
  std::string trying_;
  absl::Status failure_;  // to be told if no address takes the call
  int fd_ = -1;           // of the attempt under way, which is what is watched
};

}  // namespace keelson::net
