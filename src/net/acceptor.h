// net/acceptor.h
//
// Acceptor owns one listening socket and hands on what it accepts.
//
// Threads: start() and stop() from any; both callbacks run on the loop that start() named.
// Lifetime: shared with that loop until stop() has been carried out there.
// Failure: an accept that fails is tried again, later if the process or the system is short of
//   something.

#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "net/address.h"
#include "net/loop_impl.h"
#include "net/poller.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class Acceptor final : public std::enable_shared_from_this<Acceptor>, private Timer, private Watch {
 public:
  struct Options {
    bool reuse_port = false;
    // Who may connect to a Unix socket (who may write to it); none: as the umask has it.
    std::optional<mode_t> unix_socket_mode;
  };
  // Whether another may be accepted now, asked before each; if not, again in a tenth of a second.
  // `any` is an open descriptor.
  using Room = std::function<bool(int any)>;
  // A non-blocking descriptor, the receiver's from now on, and where it comes from.
  using Take = std::function<void(int fd, const Address& peer)>;

  // Binds; nobody is accepted before start(). `url` is "host:port" (port 0: any free one; an IPv6
  // host in brackets), the same behind "http://", or "unix://path".
  // Errors: InvalidArgument for a bad url, Unavailable when the address cannot be bound.
  static absl::StatusOr<std::shared_ptr<Acceptor>> bind(std::string_view url,
                                                        const Options& options);
  // Use bind().
  explicit Acceptor(int fd) : socket_(fd) {}
  ~Acceptor();

  // What was bound: "127.0.0.1:2379" or the socket's path.
  const std::string& address() const { return address_; }
  // 0 for a Unix socket.
  uint16_t port() const { return port_; }

  // REQUIRES: not started before.
  void start(Loop* loop, Room room, Take take);
  // `done` runs on the loop once the socket is closed. Nobody is handed on any more as soon as
  // this returns, but for one that is under way. A second call does nothing.
  // REQUIRES: started.
  void stop(Task done);

 private:
  void accept_some();
  void pause(Duration time);
  void close_socket();
  void on_timer() override { accept_some(); }
  void on_ready(uint32_t) override {
    auto keep = shared_from_this();
    if (!Timer::armed()) accept_some();
  }

  std::string address_;
  std::string unix_path_;  // to be removed with the socket; empty: TCP
  uint16_t port_ = 0;
  Loop* loop_ = nullptr;  // null: not started
  Room room_;
  Take take_;
  int socket_;  // the loop's from start() on; -1: closed
  Duration backoff_;
  std::atomic<bool> stopped_{false};
};

}  // namespace keelson::net
