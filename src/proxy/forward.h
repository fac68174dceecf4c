// proxy/forward.h
//
// Calls that the gRPC proxy hands on as they are, messages as bytes: what a client asks of the
// proxy the proxy asks of the cluster, for as long as the client waits, and with what says who the
// client is and what it wants (its token, that there be a leader).
//
// Threads: on the loops of the calls. Lifetime: the client outlives the calls.

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/grpc.h"
#include "outbound/rpc_client.h"

namespace keelson::proxy {

// The same call, of the cluster.
outbound::RpcRequest request_of(const net::ServerCall& call, Bytes message);

// Of it: who asks, and on what condition.
std::vector<std::pair<std::string, std::string>> identity_of(const net::ServerCall& call);

// Asks it, and gives it up when its client does. `done` as of RpcClient::unary(). On the call's
// loop, once for each call.
void ask(outbound::RpcClient& client, const net::CallRef& call, outbound::RpcRequest request,
         outbound::RpcClient::Done done);

// Ends the call with what was answered. Any thread.
void answer(net::CallRef call, absl::StatusOr<Parts> answered);

// A unary method. `repeatable`: see RpcRequest.
class UnaryForward final : public net::UnaryHandler {
 public:
  UnaryForward(outbound::RpcClient& client, bool repeatable)
      : client_(client), repeatable_(repeatable) {}
  void handle(net::CallRef call, Bytes request) override;

 private:
  outbound::RpcClient& client_;
  const bool repeatable_;
};

// A method with one request and a stream of answers, which come at the pace of whoever takes them:
// one is on its way from the cluster while less than the low-water mark waits for the client.
class ServerStreamForward final : public net::StreamHandler {
 public:
  // `endless`: it does not end by itself, so that it is cut off when the proxy ends.
  ServerStreamForward(outbound::RpcClient& client, bool endless)
      : client_(client), endless_(endless) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override;

 private:
  outbound::RpcClient& client_;
  const bool endless_;
};

}  // namespace keelson::proxy
