// peer/network.h
//
// Network is a member's way to the others and theirs to it, over etcd's peer protocol
// (docs/formats/peer.md): for each other member two streams that it opens and two that the other
// one opens, POSTs where no stream stands, probes, and the answers to what others ask.
//
// Order of a start: the constructor; ask() works from then on. serve_on() fills the router of the
//   peer listeners, which run on loops(). start() once it is known who this member is; before,
//   requests are answered 503 and send() drops. stop() before the lanes end.
// Threads: one loop, on which all of it runs but the work on databases, which has workers; public
//   methods are for any thread, but for the constructor, serve_on(), start(), stop() and the
//   destructor (one thread, none of the lanes or loops). send() and send_snapshot() never block.
//   The member's consensus may be another lane, or share the loop: then a message is sent in the
//   turn that made it, and none goes from thread to thread on its way in or out.
// Lifetime: receiver and answers outlive stop(); observer, whatever runs on loops(), and the lanes
//   that may call send() end before the Network does.
// Bounds: peer/channels.h says what waits for a member; more is dropped and reported unreachable. A
//   dead or slow member holds up nobody else. What is received and not taken by the receiver yet is
//   bounded per member: its stream is not read from meanwhile.
// Failure: nothing here ends the process. A member that says we were removed is passed on.

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "membership/cluster.h"
#include "net/grpc.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "node/transport.h"
#include "peer/ask.h"
#include "peer/local_answers.h"
#include "peer/observer.h"
#include "peer/receiver.h"
#include "peer/snapshot_home.h"

namespace keelson::peer {

class Hub;

// Who this member is.
struct Identity {
  MemberId member{};
  ClusterId cluster{};
  std::vector<std::string> peer_urls{};  // what it advertises
};

struct NetworkOptions {
  // The first of them is the loop. They outlive stop(), and nothing runs on them any more when the
  // Network ends. Null: one of its own.
  net::LoopPool* loops = nullptr;
  std::string version = "3.7.1";  // of etcd, that this is as good as
  // For dials; etcd: a second and the election timeout.
  Duration dial_timeout = std::chrono::milliseconds(2000);
  // --raft-read-timeout: the silence after which a stream is given up; idle ones carry something
  // three times in it. --raft-write-timeout: how long the other end may take nothing.
  Duration read_timeout = std::chrono::seconds(5);
  Duration write_timeout = std::chrono::seconds(5);
  Duration redial_pause = std::chrono::milliseconds(100);
  // Where connections to others come from; see net::HttpClientOptions.
  std::optional<net::Address> from{};
  // For URLs under TLS; kept fresh by itself. Null: none may be.
  std::shared_ptr<net::TlsClientContext> tls{};
  net::TlsHandshakes* handshakes = nullptr;  // outlives the Network
  Observer* observer = nullptr;              // null: nobody looks
  const Clock* clock = nullptr;              // for the time of day; null: the system's
};

class Network final : public node::Transport {
 public:
  explicit Network(NetworkOptions options);
  // Stops if stop() was not called.
  ~Network() override;

  Ask& ask();

  // What the peer listeners serve, and the loops that they run on.
  void serve_on(net::Router& router);
  net::LoopPool& loops();
  // For ListenerTls::client_names of the peer listeners.
  net::Resolver& resolver();

  // From now on messages flow. `members` as in set_members(). Without `snapshots` those that come
  // are refused.
  void start(Identity identity, Receiver* receiver, LocalAnswers* answers,
             std::shared_ptr<const membership::View> members, SnapshotHome* snapshots = nullptr);
  // Who the members are now; called for each change, in order. Those that are not there any more
  // are not spoken to any more.
  void set_members(std::shared_ptr<const membership::View> members);
  // Members that are not in the log yet, as others told of them: they are sent to by POST, so that
  // a joining member can answer them.
  void introduce(std::vector<membership::Member> members);
  // Ends everything and waits for that, but for loops() that are not its own. No listener may run
  // on them any more.
  void stop();

  void send(std::vector<raft::Message> messages) override;
  void send_snapshot(raft::Message message,
                     std::shared_ptr<const backend::Snapshot> state) override;

  // Since when the connections with other members have stood; who is not there is not connected.
  using Active = std::map<MemberId, MonotonicTime>;
  std::shared_ptr<const Active> active() const;
  // Bytes of messages that send() was given and the loop has not taken, for tests and metrics.
  size_t handed_over() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace keelson::peer
