// http/gateway.h
//
// Gateway is etcd's JSON form of the API: every method of the schema at a path of its own, by POST,
// over HTTP/1.1 and HTTP/2, and over websockets, where each message of the client is a line of the
// body and each line of the answer a message. It calls the methods in this process.
//
// Threads: handlers run on the listeners' loops. stop() while the loops and the services still
//   live; what waits for a worker then is never answered.
// Lifetime: outlives the listeners; what it was made with outlives it.
// Source: etcd v3.7.1, server/embed/serve.go; grpc-gateway v2.29; grpc-websocket-proxy 673ab2c.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/front_door.h"
#include "http/gateway_routes.h"
#include "http/json_call.h"

namespace keelson::http {

class Gateway final : public net::HttpHandler, public net::HttpStreamHandler {
 public:
  // The methods are those that `methods` has now. `observer`, `recorder` and `tracer` may be null.
  Gateway(const net::Router& methods, net::CallObserver* observer, net::CallRecorder* recorder,
          trace::Tracer* tracer, const FrontDoor& door, int loops,
          std::shared_ptr<net::HeldBudgets> budgets);

  // Registers everything below /v3/ and, as etcd's first clients have it, /v3beta/.
  void add_to(net::Router& router);
  void stop() { work_.workers().stop(); }
  const JsonWork& work() const { return work_; }

  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;
  std::unique_ptr<net::HttpBodyReceiver> on_open(net::HttpRequest head,
                                                 net::HttpReplyRef reply) override;
  net::HttpOptions options() const override { return {.converses = true, .needs_client = true}; }

 private:
  class Body;
  class Upgrade;
  class Socket;
  class SocketReply;

  const GatewayRoute* route_of(std::string_view path) const;
  // Begins to serve a request, without its body. Null: it is answered.
  std::shared_ptr<JsonCall> begin(const net::HttpRequest& head, const net::HttpReplyRef& reply);
  void serve_socket(const net::HttpRequest& request, net::HttpReply& reply);

  const FrontDoor& door_;
  const std::vector<GatewayRoute> routes_;  // by path
  size_t longest_body_ = 0;
  JsonWork work_;
};

}  // namespace keelson::http
