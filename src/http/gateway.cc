#include "http/gateway.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/text.h"
#include "net/websocket.h"

namespace keelson::http {
namespace {

constexpr std::string_view kRoot = "/v3/";
constexpr std::string_view kOldRoot = "/v3beta/";

}  // namespace

// A body on its way to its call.
class Gateway::Body final : public net::HttpBodyReceiver {
 public:
  explicit Body(std::shared_ptr<JsonCall> call) : call_(std::move(call)) {}
  void on_body(Bytes piece) override { call_->body(piece); }
  void on_end() override { call_->body_end(); }
  void on_abort() override { call_->body_aborted(); }

 private:
  const std::shared_ptr<JsonCall> call_;
};

// A request for a websocket: a connection changes over when all of the request is there.
class Gateway::Upgrade final : public net::HttpBodyReceiver {
 public:
  Upgrade(Gateway& gateway, net::HttpRequest head, net::HttpReplyRef reply)
      : gateway_(gateway), head_(std::move(head)), reply_(std::move(reply)) {}
  void on_body(Bytes) override {}
  void on_end() override { gateway_.serve_socket(head_, *reply_); }

 private:
  Gateway& gateway_;
  const net::HttpRequest head_;
  const net::HttpReplyRef reply_;
};

Gateway::Gateway(const net::Router& methods, net::CallObserver* observer,
                 net::CallRecorder* recorder, trace::Tracer* tracer, const FrontDoor& door,
                 int loops, std::shared_ptr<net::HeldBudgets> budgets)
    : door_(door),
      routes_(gateway_routes(methods)),
      work_(loops, std::move(budgets), observer, recorder, tracer) {
  for (const GatewayRoute& route : routes_) {
    if (!route.entry) continue;
    longest_body_ =
        std::max(longest_body_, net::json_body_limit(route.entry->options.max_request_bytes));
  }
}

void Gateway::add_to(net::Router& router) {
  router.http_alias(kOldRoot, kRoot);
  router.http_prefix(
      kRoot, this,
      {.max_body_bytes = longest_body_, .escaped_slashes = true, .needs_client = true});
  for (const GatewayRoute& route : routes_) {
    if (!route.entry || !(route.streams_in() || route.streams_out())) continue;
    router.http_stream(route.path, this);
  }
}

const GatewayRoute* Gateway::route_of(std::string_view path) const {
  auto found = std::lower_bound(
      routes_.begin(), routes_.end(), path,
      [](const GatewayRoute& route, std::string_view p) { return route.path < p; });
  const bool there = found != routes_.end() && found->path == path && found->entry;
  return there ? &*found : nullptr;
}

std::shared_ptr<JsonCall> Gateway::begin(const net::HttpRequest& head,
                                         const net::HttpReplyRef& reply) {
  std::vector<net::HttpField> fields = door_.fields(head);
  const GatewayRoute* route = route_of(head.path());
  if (!route) {
    reply->send(error_response(absl::NotFoundError("Not Found"), std::move(fields)));
    return nullptr;
  }
  if (head.method != "POST") {
    reply->send(error_response(absl::UnimplementedError("Method Not Allowed"), std::move(fields)));
    return nullptr;
  }
  auto call = std::make_shared<JsonCall>(work_, *route, std::move(fields), reply);
  call->start(head);
  return call;
}

void Gateway::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  if (door_.answers(request, *reply)) return;
  if (net::is_websocket(request)) return serve_socket(request, *reply);
  if (auto call = begin(request, reply)) call->whole_body(std::move(request.body));
}

std::unique_ptr<net::HttpBodyReceiver> Gateway::on_open(net::HttpRequest head,
                                                        net::HttpReplyRef reply) {
  if (door_.answers(head, *reply)) return nullptr;
  if (net::is_websocket(head)) {
    return std::make_unique<Upgrade>(*this, std::move(head), std::move(reply));
  }
  auto call = begin(head, reply);
  return call ? std::make_unique<Body>(std::move(call)) : nullptr;
}

// ---- websockets

// The answer to what came over a websocket: its lines are messages, and its end the socket's.
class Gateway::SocketReply final : public net::HttpReply {
 public:
  SocketReply(net::Loop* loop, std::shared_ptr<net::WebSocket> socket)
      : HttpReply(loop), socket_(std::move(socket)) {}

  void send(net::HttpResponse response) override {
    write(std::move(response.body));
    end();
  }
  void begin(net::HttpResponse response) override { write(std::move(response.body)); }
  void write(net::MessageParts piece) override {
    if (over() || piece.size() == 0) return;
    std::string text = piece.flat();
    const bool last = text.back() == '\n';
    if (last) text.pop_back();
    in_line_ = !last;
    socket_->send(net::MessageParts::copy(text), last);
  }
  void end() override {
    if (over()) return;
    if (in_line_) socket_->send({}, true);
    finish();
    socket_->close(net::WebSocket::kNormal);
  }
  // The socket's end is that of the client, for who answers.
  void abort() override { socket_->close(net::WebSocket::kTryAgainLater); }
  bool upgrade(net::HttpResponse, net::ProtocolFactory) override { return false; }
  void set_reading(bool on) override { socket_->set_reading(on); }
  void hold(size_t bytes) override { socket_->hold(bytes); }
  size_t pending_bytes() const override { return socket_->pending_bytes(); }
  void on_writable(Task task) override { writable_ = std::move(task); }
  void on_gone(Task task) override {
    if (!over()) gone_ = std::move(task);
  }
  void on_drain(Task task) override {
    if (!over()) drain_ = std::move(task);
  }

  // From the socket.
  void gone() {
    if (over_.exchange(true)) return;
    drain_ = nullptr;
    writable_ = nullptr;
    if (Task task = std::exchange(gone_, nullptr)) task();
  }
  void writable() {
    if (!over() && writable_) writable_();
  }
  void draining() {
    if (Task task = std::exchange(drain_, nullptr)) task();
  }

 private:
  void finish() {
    over_.store(true);
    gone_ = nullptr;
    drain_ = nullptr;
  }

  const std::shared_ptr<net::WebSocket> socket_;
  bool in_line_ = false;  // a message is begun
  Task writable_, gone_, drain_;
};

// What comes over a websocket.
class Gateway::Socket final : public net::WebSocket::Receiver {
 public:
  Socket(std::shared_ptr<JsonCall> call, std::shared_ptr<SocketReply> reply)
      : call_(std::move(call)), reply_(std::move(reply)) {}
  void on_message(Bytes message) override {
    if (!call_) return;
    call_->body(message);
    call_->body("\n");
  }
  void on_close() override { reply_->gone(); }
  void on_writable() override { reply_->writable(); }
  void on_drain() override { reply_->draining(); }

 private:
  const std::shared_ptr<JsonCall> call_;  // null: answered
  const std::shared_ptr<SocketReply> reply_;
};

namespace {

std::string_view trimmed(std::string_view text) {
  return from_absl(absl::StripAsciiWhitespace(to_absl(text)));
}

// A token in what browsers let a page set: the protocols that it offers.
std::string authorization_of(std::string_view protocols) {
  constexpr std::string_view kBearer = "Bearer,";
  const size_t at = protocols.find(kBearer);
  if (at == protocols.npos) return "";
  return cat("Bearer ", trimmed(protocols.substr(at + kBearer.size())));
}

std::optional<std::string> cookie_of(const net::HttpRequest& request, std::string_view name) {
  std::string_view cookies = request.field("Cookie");
  while (!cookies.empty()) {
    const size_t end = std::min(cookies.find(';'), cookies.size());
    const std::string_view one = trimmed(cookies.substr(0, end));
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
    const size_t equals = one.find('=');
    if (equals == one.npos || one.substr(0, equals) != name) continue;
    std::string_view value = one.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return std::string(value);
  }
  return std::nullopt;
}

// The request that stands for what comes over the websocket.
net::HttpRequest request_over_socket(const net::HttpRequest& handshake) {
  net::HttpRequest request;
  request.method = "POST";
  request.target = handshake.target;
  request.meant = handshake.meant;
  request.peer = handshake.peer;
  request.peer.identity = nullptr;
  const std::string_view protocols = handshake.field("Sec-WebSocket-Protocol");
  std::optional<std::string> authorization;
  if (!protocols.empty()) authorization = authorization_of(protocols);
  if (auto token = cookie_of(handshake, "token")) authorization = cat("Bearer ", *token);
  if (authorization) request.fields.push_back({"Authorization", *std::move(authorization)});
  for (std::string_view name : {"Origin", "Referer"}) {
    const std::string_view value = handshake.field(name);
    if (!value.empty()) request.fields.push_back({std::string(name), std::string(value)});
  }
  return request;
}

}  // namespace

void Gateway::serve_socket(const net::HttpRequest& request, net::HttpReply& reply) {
  net::WebSocketOptions options{.max_message_bytes = longest_body_};
  if (request.field("Sec-WebSocket-Protocol").starts_with("Bearer")) options.protocol = "Bearer";
  net::Loop* loop = &reply.loop();
  net::serve_websocket(
      request, reply, std::move(options),
      [this, loop, over = request_over_socket(request)](std::shared_ptr<net::WebSocket> socket) {
        auto socket_reply = std::make_shared<SocketReply>(loop, std::move(socket));
        auto call = begin(over, socket_reply);
        return std::make_unique<Socket>(std::move(call), std::move(socket_reply));
      });
}

}  // namespace keelson::http
