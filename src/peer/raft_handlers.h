// peer/raft_handlers.h
//
// What a peer listener answers under /raft: streams that others open, messages that they POST, and
// probes (docs/formats/peer.md).
//
// Threads: the peer loop.
// Bounds: bodies of POSTs that are under way hold kBodies together; beyond: 503.

#pragma once

#include <functional>
#include <memory>

#include "net/http.h"
#include "peer/answers.h"
#include "peer/headers.h"
#include "peer/hub.h"

namespace keelson::peer {

// The hub that runs now; null before and after.
using RunningHub = std::function<Hub*()>;

PeerHeaders peer_headers(const net::HttpRequest& request);
// `cluster`: the value of X-Etcd-Cluster-ID; empty for none.
net::HttpResponse to_response(const Answer& answer, std::string_view cluster);
void respond(const net::HttpReplyRef& reply, const Answer& answer, std::string_view cluster);
// 503: this member is not ready, or about to end.
void respond_not_running(const net::HttpReplyRef& reply);

// What comes before the body of a POST: refuses it, or takes note of who sent it. Null: refused.
Hub* accept_post(const RunningHub& hub, const net::HttpRequest& head,
                 const net::HttpReplyRef& reply);

// GET /raft/stream/…
class StreamHandler final : public net::HttpHandler {
 public:
  explicit StreamHandler(RunningHub hub) : hub_(std::move(hub)) {}
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  void refuse(Hub& hub, const net::HttpRequest& request, const StreamVerdict& verdict);

  const RunningHub hub_;
};

// POST /raft
class PipelineHandler final : public net::HttpStreamHandler {
 public:
  explicit PipelineHandler(RunningHub hub) : hub_(std::move(hub)) {}
  std::unique_ptr<net::HttpBodyReceiver> on_open(net::HttpRequest head,
                                                 net::HttpReplyRef reply) override;

 private:
  class Body;
  static constexpr size_t kBodies = size_t{768} << 20;

  const RunningHub hub_;
  // Of the bodies under way; shared with them, who may outlive this.
  const std::shared_ptr<size_t> held_ = std::make_shared<size_t>(0);
};

// GET /raft/probing
class ProbingHandler final : public net::HttpHandler {
 public:
  explicit ProbingHandler(const Clock* clock) : clock_(*clock) {}
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  const Clock& clock_;
};

}  // namespace keelson::peer
