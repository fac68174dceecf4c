// server/peering.h
//
// Peering is the member's side towards the other members: the network, its listeners, who answers
// what others ask and who asks them.
//
// Order: the constructor; what a new member has to ask; listen(); start(), before the node's.
//   stop(), at the end and while the node's lanes still run; those end before this does.
// Threads: the main thread, but for what others() says.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "net/accept_gate.h"
#include "net/listener.h"
#include "node/node.h"
#include "peer/consensus_receiver.h"
#include "peer/first_contact.h"
#include "peer/network.h"
#include "rpc/context.h"
#include "server/config.h"
#include "server/corruption_checks.h"
#include "server/peer_answers.h"
#include "server/peer_metrics.h"
#include "server/store_hashes.h"
#include "server/tls.h"

namespace keelson::server {

class Peering {
 public:
  // `config`, `gate` and the metrics outlive this; `loops` outlive stop(), and end before this
  // does.
  Peering(const Config& config, PeerTls tls, net::LoopPool* loops, net::AcceptGate* gate,
          http::Metrics& metrics);
  ~Peering();

  // For the node that is about to be.
  node::Transport* transport() { return &network_; }
  // What a member without a log has to know before it founds its cluster, or joins one: the members
  // of the one that it joins.
  absl::StatusOr<std::optional<membership::Bootstrap>> introduce_self();

  // Binds --listen-peer-urls.
  absl::Status listen();
  // Ties node and services to the network, and lets messages flow. Snapshots go to `home`.
  // The node starts next.
  struct Ends {
    // The other members say that this one was removed; once, on the peer loop.
    std::function<void()> removed;
    // It must not go on (peer/first_contact.h); the same.
    std::function<void(absl::Status)> refused;
  };
  void start(node::Node& node, rpc::Context& context, StoreHashes& hashes, peer::SnapshotHome* home,
             Ends ends);

  // What the other members of `node` hold, up to `revision`: for a node that is not started.
  std::vector<PeerHash> hashes_of_others(node::Node& node, int64_t revision);
  // The same of the node that was started. `done` is called once, on any thread.
  void ask_hashes(int64_t revision, absl::AnyInvocable<void(std::vector<PeerHash>)> done);

  // The voter, other than this member, that has been connected longest.
  std::optional<MemberId> longest_connected() const;

  // Before each scrape.
  void collect() { peer_metrics_.collect(); }

  void stop();

 private:
  class Asking;

  peer::Receiver* receiver_of(node::Node& node, Ends ends);
  void advance_ticks(int attempts_left);
  void ask_hashes(node::Node& node, int64_t revision,
                  absl::AnyInvocable<void(std::vector<PeerHash>)> done);
  void ask_versions(std::vector<membership::Member> members,
                    absl::AnyInvocable<void(node::Versions::List)> done);

  const Config& config_;
  const PeerTls tls_;
  net::AcceptGate* const gate_;
  std::unique_ptr<net::TlsHandshakes> handshakes_;
  PeerMetrics peer_metrics_;
  peer::Network network_;
  net::Router router_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::vector<membership::Member> introduced_;  // members of a cluster that this one joins

  // From start() on.
  node::Node* node_ = nullptr;
  std::unique_ptr<Asking> asking_;
  std::optional<PeerAnswers> answers_;
  std::optional<peer::ConsensusReceiver> receiver_;
  std::optional<peer::FirstContact> first_contact_;  // only where the member may begin again
};

}  // namespace keelson::server
