// outbound/rpc_client.h
//
// RpcClient makes gRPC calls of any method, as bytes, to the servers of a cluster: what somebody
// who stands before the cluster asks for its clients.
//
// Which server: those that are connected take turns; if none is, one that is being connected to.
// Threads: unary(), set_endpoints(), renew() and the counts are for any; a stream is its lane's.
// Lifetime: calls outlive it, but not the lane of theirs (wait_until_idle()).
// Bounds: calls under way and the bytes of their requests; more is refused with
//   errors::RequestTooManyRequests(). A stream has one message on its way in each direction.
// Errors: what the server answered; Unavailable when none can be reached.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/parts.h"
#include "outbound/channel_options.h"

namespace keelson::outbound {

struct RpcRequest {
  std::string path;  // "/etcdserverpb.KV/Range"
  std::vector<std::pair<std::string, std::string>> metadata = {};
  Bytes message = {};                          // of a unary call
  std::optional<MonotonicTime> deadline = {};  // by the system's clock
  // It changes nothing: where one server is not available, each other one is asked once.
  bool repeatable = false;
};

class RpcCall {
 public:
  virtual ~RpcCall() = default;
  // It ends soon, with an error, unless it has ended. Any thread.
  virtual void cancel() = 0;
};

// Hears of one stream, on its lane. Destroyed there behind on_end().
class RpcStreamEvents {
 public:
  virtual ~RpcStreamEvents() = default;
  // One for each read().
  virtual void on_message(Parts message) = 0;
  // One for each write().
  virtual void on_written() {}
  // The last call. Comes only while something is read or written, or after cancel().
  virtual void on_end(absl::Status status) = 0;
};

class RpcStream {
 public:
  virtual ~RpcStream() = default;
  // Asks for the next message. REQUIRES: none is being asked for.
  virtual void read() = 0;
  // REQUIRES: nothing is being written.
  virtual void write(Bytes message) = 0;
  virtual void half_close() = 0;
  virtual void cancel() = 0;
};

class RpcClient {
 public:
  // Called once, on a thread of grpc++'s, or inside unary() for what is refused.
  using Done = absl::AnyInvocable<void(absl::StatusOr<Parts>)>;

  virtual ~RpcClient() = default;
  // shared_ptr: whoever may cancel it and the call itself both hold it.
  virtual std::shared_ptr<RpcCall> unary(RpcRequest request, Done done) = 0;
  // The lane outlives the stream.
  virtual std::shared_ptr<RpcStream> stream(RpcRequest request, Executor* lane,
                                            std::unique_ptr<RpcStreamEvents> events) = 0;
};

struct ClusterClientOptions {
  std::vector<std::string> endpoints;  // not empty
  ChannelOptions channel;
  size_t max_send_bytes = 0;                     // of a message; 0: no limit
  size_t max_calls = size_t{1} << 16;            // under way
  size_t max_request_bytes = size_t{256} << 20;  // of their requests together
};

class ClusterClient : public RpcClient {
 public:
  // Begins to connect. Errors: of open_channel().
  static absl::StatusOr<std::unique_ptr<ClusterClient>> open(ClusterClientOptions options);

  // From now on these. What is under way at others goes on.
  virtual absl::Status set_endpoints(const std::vector<std::string>& endpoints) = 0;
  // Reads the files of TLS anew: connections that begin from now on are made with what they say.
  // Calls under way go on where they are, and those that come, too, as long as no server can be
  // reached with the new. Errors: of open_channel(), and all is as it was.
  virtual absl::Status renew() = 0;
  virtual size_t endpoints() const = 0;
  // Calls and streams under way.
  virtual size_t calls() const = 0;
  // Whether there are none within `time`. On no lane.
  virtual bool wait_until_idle(Duration time) = 0;
};

}  // namespace keelson::outbound
