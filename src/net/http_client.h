// net/http_client.h
//
// HttpClient asks other servers over HTTP/1.1, on one loop: what members say to each other, and
// whatever else goes out of this process. Connections are kept alive and used again, a pool for
// each place; bodies of any length stream in both directions, at the pace of whoever is slower.
//
// Threads: all on the client's loop, the destructor included; receivers are called there, but
//   never from inside start(), write(), end_body() or cancel().
// Lifetime: loop, resolver and handshake pool outlive the client. Its end ends what is under way,
//   and no receiver hears of it. An exchange outlives its client; nothing comes of it then.
// Bounds: per place, of connections and of exchanges that wait for one; beyond: ResourceExhausted.
//   An answer's head has a limit. Of a body that its receiver has paused, one read is held.
// Errors: Unavailable for a server that cannot be reached, breaks off or does not speak HTTP,
//   DeadlineExceeded for one that takes too long, in Go's words where Go has some; what was
//   answered is no error, whatever its status.
// Not here: redirects, proxies of the environment, compression, cookies.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "net/address.h"
#include "net/http.h"
#include "net/http1_response.h"
#include "net/resolver.h"

namespace keelson::net {

class TlsClientState;
template <typename State>
class FreshTls;
using TlsClientContext = FreshTls<TlsClientState>;  // net/tls/client_context.h
class TlsHandshakes;

// A place to connect to.
struct HttpPlace {
  std::string host;  // a name or an address without brackets; of a Unix socket, its path
  std::string port;  // empty exactly for a Unix socket
  bool tls = false;

  bool is_unix() const { return port.empty(); }
  // What stands in the Host field.
  std::string authority() const;
  // Of "http://host:port", "https://…", "unix://path" and "unixs://path"; ports 80 and 443 may be
  // left out. Errors: InvalidArgument.
  static absl::StatusOr<HttpPlace> parse(std::string_view url);

  friend auto operator<=>(const HttpPlace&, const HttpPlace&) = default;
};

// 0: for as long as it likes.
struct HttpDeadlines {
  // From the request's last byte to the end of the answer's head.
  Duration head{0};
  // Without any progress: while the server does not take what there is of the request's body, or
  // does not go on with the answer's.
  Duration stall{0};
  // All of it.
  Duration whole{0};
};

struct HttpClientRequest {
  HttpPlace place;
  std::string method = "GET";
  std::string target = "/";       // "/members?x=y"
  std::vector<HttpField> fields;  // Host, Content-Length and Transfer-Encoding are added
  // The body, whole; or its beginning, when `streamed`. REQUIRES: all parts are made.
  MessageParts body;
  // write() and end_body() follow. With a length (of all of the body) it is announced as such, and
  // exactly so much must come; without, the body goes out in chunks.
  bool streamed = false;
  std::optional<uint64_t> length;
  HttpDeadlines deadlines;
};

// Hears the answer. Owned by its exchange, and gone soon after on_end() or cancel().
class HttpReceiver {
 public:
  virtual ~HttpReceiver() = default;
  virtual void on_head(HttpResponseHead head) = 0;
  // Valid during the call.
  virtual void on_body(std::string_view piece) = 0;
  // Ok: the answer is complete. The last call. A request whose body has not been sent in full by
  // then ends all the same.
  virtual void on_end(absl::Status status) = 0;
};

// One request and its answer.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // More of a streamed body. Ignored once the exchange is over.
  virtual void write(MessageParts piece) = 0;
  virtual void end_body() = 0;
  // Bytes written that the socket has not taken.
  virtual size_t pending_bytes() const = 0;
  // `task` runs each time pending_bytes() falls below 64 KiB after it had been above.
  virtual void on_writable(Task task) = 0;

  // No more on_body() until resume(): the server waits once the buffers between are full.
  virtual void pause() = 0;
  virtual void resume() = 0;

  // Ends it; the receiver hears nothing more.
  virtual void cancel() = 0;
  virtual bool over() const = 0;
};

// shared_ptr: the connection and whoever asked both hold it.
using HttpExchangeRef = std::shared_ptr<HttpExchange>;

struct HttpClientOptions {
  Duration connect_timeout = std::chrono::seconds(5);  // name, connection and TLS handshake
  Duration queue_timeout = std::chrono::seconds(10);   // for a connection, all of them being in use
  Duration idle_timeout = std::chrono::seconds(90);    // of a connection that is kept
  size_t max_connections = 16;                         // per place; those kept included
  size_t max_waiting = 256;                            // exchanges per place
  size_t max_head_bytes = 64 << 10;
  std::string user_agent = "keelson";
  // Of this machine, with port 0: where connections over TCP come from. The system chooses, if not.
  std::optional<Address> from;
  // Needed for places under TLS; asking one without them is an error of that request.
  std::shared_ptr<TlsClientContext> tls;
  TlsHandshakes* handshakes = nullptr;
};

class HttpClient {
 public:
  HttpClient(Loop* loop, Resolver* resolver, HttpClientOptions options);
  ~HttpClient();

  // Always tells `receiver` of the end, unless cancelled.
  HttpExchangeRef start(HttpClientRequest request, std::unique_ptr<HttpReceiver> receiver);

  struct Answer {
    HttpResponseHead head;
    std::string body;
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<Answer>)>;
  // The same for short answers: ResourceExhausted beyond `max_body` bytes.
  HttpExchangeRef fetch(HttpClientRequest request, size_t max_body, Done done);

  // Connections open or about to be, for tests and metrics.
  size_t connections() const;

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace keelson::net
