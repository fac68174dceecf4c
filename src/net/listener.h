// net/listener.h
//
// Listener owns one listening socket and the connections accepted from it. gRPC (HTTP/2 with prior
// knowledge, or chosen by ALPN under TLS) and HTTP/1.1 share the port: the first bytes of a
// connection tell which it is.
//
// Threads: start(), drain() and close() from any thread but the pool's loops.
// Lifetime: Router, observer and LoopPool outlive the listener. The destructor closes, as close().
// Failure: a connection that misbehaves is closed alone. When the process runs short of descriptors
//   (net/accept_gate.h) accepting pauses and goes on; what is connected stays, who wants in waits
//   in the kernel's queue.

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "net/grpc.h"
#include "net/loop.h"

namespace keelson::trace {
class Tracer;
}

namespace keelson::net {

class AcceptGate;
class CallRecorder;
struct HeldBudgets;
struct ListenerTls;

struct ListenerOptions {
  // gRPC keepalive; defaults are etcd's (--grpc-keepalive-interval, -timeout, -min-time).
  Duration keepalive_interval = std::chrono::hours(2);    // ping after this much silence; 0: never
  Duration keepalive_timeout = std::chrono::seconds(20);  // close if nothing comes back by then
  Duration keepalive_min_time = std::chrono::seconds(5);  // pings faster than this are strikes

  uint32_t max_concurrent_streams = UINT32_MAX;  // per connection
  uint32_t stream_window = 1 << 20;              // bytes a client may send ahead on one stream
  uint32_t connection_window = 16 << 20;         // and on all streams of a connection
  // What open streams and requests of one connection that are not complete, or not served yet, may
  // hold; a call whose message would take more is refused with errors::RequestTooManyRequests(),
  // and a stream that would is not opened (REFUSED_STREAM).
  size_t connection_incoming = size_t{64} << 20;
  // What answers that a client does not take may hold, of one connection; a unary call whose answer
  // would be more is refused with errors::RequestTooManyRequests(), unless it is the connection's
  // only one. Values in memory are shared with the store: of those a megabyte counts, and what is
  // the answer's own; all of them once the client has taken nothing for a while.
  size_t connection_outgoing = size_t{256} << 20;
  // What all connections may hold, and who gives way then (net/held_bytes.h). Null: the listener
  // has budgets of its own, of the usual size.
  std::shared_ptr<HeldBudgets> budgets = nullptr;
  // Of one request, names + values + 32 each. etcd takes metadata of 1 MB.
  size_t max_header_bytes = (1 << 20) + (64 << 10);

  // What a client may take for its part: the first bytes, a whole head (of any protocol), HTTP/2's
  // first SETTINGS; the silence within a body, and a whole body unless its handler streams it; the
  // silence between two HTTP/1 requests (the last two are Go's ReadTimeout of etcd).
  Duration read_header_timeout = std::chrono::seconds(30);
  Duration body_stall_timeout = std::chrono::seconds(30);
  Duration read_body_timeout = std::chrono::minutes(5);
  Duration idle_timeout = std::chrono::minutes(5);

  // Hears of each call; null: nobody does. Outlives the listener.
  CallRecorder* recorder = nullptr;

  // Asked before each accept; null: nobody is.
  AcceptGate* gate = nullptr;
  // Makes spans of gRPC's calls; null: nobody does. Outlives the connections.
  trace::Tracer* tracer = nullptr;

  bool reuse_address = false;  // --socket-reuse-address (Go sets SO_REUSEADDR anyway; so do we)
  bool reuse_port = false;     // --socket-reuse-port
  // Who may connect to a Unix socket (who may write to it); none: as the umask has it.
  std::optional<mode_t> unix_socket_mode;

  // Null: plaintext. Shared by the connections, which may outlive the listener by a moment.
  std::shared_ptr<const ListenerTls> tls = nullptr;
};

class Listener {
 public:
  // Binds and starts accepting. `url` is "http://host:port" (port 0: any free one; an IPv6 host in
  // brackets), "unix://path", or the same without the scheme for host:port.
  // Errors: InvalidArgument for a bad url, Unavailable when the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Listener>> start(std::string_view url, LoopPool* loops,
                                                         const Router* router,
                                                         CallObserver* observer = nullptr,
                                                         ListenerOptions options = {});
  ~Listener();

  // What was bound: "127.0.0.1:2379" or the socket's path.
  const std::string& address() const;
  // 0 for a Unix socket.
  uint16_t port() const;

  // Graceful end, in two steps, so that several listeners can end at the same time.
  // The first stops accepting, tells clients (GOAWAY, Connection: close) and streams
  // (StreamReceiver::on_drain), and lets running calls finish. A client that owes nothing but to
  // take what is there for it has a second for each bit of it.
  void begin_drain();
  // The second waits until all connections have closed, or `until` has passed; cuts what is left;
  // then as close().
  bool finish_drain(std::chrono::steady_clock::time_point until);
  bool drain(Duration deadline);
  // Stops accepting and cuts all connections. False when a loop did not get round to it within two
  // seconds: then the router and the observer must live until that loop has been stopped.
  bool close();

  // Open connections, for tests and metrics.
  size_t connections() const;

  class Impl;

 private:
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace keelson::net
