// rpc/context.h
//
// What the services share: the node, the limits, and one Lane for each io lane with everything a
// request needs there, so that serving a request takes no lock.
//
// Threads: Context is read from all loops; a Lane belongs to its loop.
// Lifetime: outlives the listener and the node's gateways' callbacks.

#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "apply/permits.h"
#include "base/line_budget.h"
#include "base/origin.h"
#include "base/parts.h"
#include "base/random.h"
#include "base/workers.h"
#include "mvcc/store.h"
#include "mvcc/watch/lane_watches.h"
#include "net/grpc.h"
#include "net/loop.h"
#include "node/node.h"
#include "proto/rpc.pb.h"
#include "rpc/access.h"
#include "rpc/canonical.h"
#include "rpc/deletion_watches.h"
#include "rpc/leader_bound.h"
#include "rpc/logins.h"
#include "rpc/long_reads.h"
#include "rpc/others.h"

namespace keelson::rpc {

struct Limits {
  size_t max_request_bytes = 1'572'864;
  int64_t max_txn_ops = 128;
  uint64_t quota_bytes = UINT64_MAX;
  Duration warning_apply_duration{0};  // slower reads are worth a warning; 0: none is
  bool strict_reconfiguration = true;  // --strict-reconfig-check
  bool unserving_defragments = false;  // feature gate StopGRPCServiceOnDefrag
  Duration request_timeout = std::chrono::seconds(7);
  Duration election_timeout = std::chrono::seconds(1);
};

// Counts of what the services see; read by the metrics.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void client_request(bool stream, std::string_view api_version) = 0;
  // A request was answered, well or not. `read_only` tells one sort of transaction from the other.
  virtual void request_done(wire::InternalKind kind, bool read_only, bool ok, Duration took) = 0;
  // A range was read, without the wait for the read index.
  virtual void range_read(bool ok, Duration took) = 0;
  virtual void slow_read() = 0;
  // Hash (of all) or HashKV.
  virtual void hashed(bool all, Duration took) = 0;
  // A whole database was sent to a client.
  virtual void snapshot_sent(Duration took) = 0;
  // A defragmentation was asked for, and is over, well or not; each on any thread.
  virtual void defragmenting() = 0;
  virtual void defragmented(bool ok, Duration took) = 0;
  // This member, which leads, was to promote a learner.
  virtual void promoted(const absl::Status& status) = 0;
};

struct Lane {
  explicit Lane(net::Loop& l, node::RequestIdSource& id_source) : loop(l), ids(id_source) {}

  net::Loop& loop;
  node::Gateway* gateway = nullptr;
  node::RequestIds ids;
  std::unique_ptr<mvcc::ReaderSlot> slot;
  std::unique_ptr<Random> random;
  std::unique_ptr<watch::WatchSource> watch_source;
  std::unique_ptr<watch::LaneWatches> watches;
  std::unique_ptr<LeaderBounds> leader_bounds;
  std::unique_ptr<DeletionWatches> deletions;
  LaneAccess access;
  apply::OpCounts counts;       // of what is read on this lane
  MonotonicTime last_read_end;  // of the lane's last range
  // Reused, so that parsing allocates little.
  etcdserverpb::RangeRequest range_request;
};

class Context {
 public:
  // Makes the lanes and their gateways. Before the node starts.
  Context(node::Node& node, net::LoopPool& loops, watch::EventFeed& feed,
          const watch::WatchOptions& watch_options, Limits limits, AuthSettings auth, uint64_t seed,
          RequestObserver* observer);
  ~Context();

  node::Node& node() { return node_; }
  const Limits& limits() const { return limits_; }
  Duration request_timeout() const { return limits_.request_timeout; }
  LongReads& long_reads() { return long_reads_; }
  Logins& logins() { return logins_; }
  // Threads that make databases to be sent.
  Workers& snapshot_workers() { return snapshot_workers_; }
  // The node's store was replaced: nobody who reads nothing just now keeps the former one. Any
  // thread.
  void leave_former_store();
  // While the loops and the node still live; nothing that was asked of a worker is answered then.
  void stop_workers();
  // The member is about to end: calls that wait for others to do something are told so. Any thread.
  void end_waits();
  // Null: there are none to ask. Set before the first call is served.
  Others* others() { return others_; }
  void set_others(Others* others) { others_ = others; }
  // Null: nobody makes spans. Set before anything is served; outlives the lanes.
  trace::Tracer* tracer() { return tracer_; }
  void set_tracer(trace::Tracer* tracer) { tracer_ = tracer; }
  // Of lines about single requests. Null: no bound. Set before anything is served; outlives this.
  LineBudget* lines() const { return lines_; }
  void set_lines(LineBudget* lines) { lines_ = lines; }
  Lane& lane(const net::ServerCall& call) { return lane(call.loop()); }
  Lane& lane(const net::Loop& loop) { return *lanes_[static_cast<size_t>(loop.number())]; }
  const std::vector<std::unique_ptr<Lane>>& lanes() const { return lanes_; }

  // The checks that etcd makes ahead of every call: whether a learner may serve it, metadata
  // `hasleader` and the client's version.
  enum class Learners : uint8_t { kRefuse, kServe };
  absl::Status admit(net::ServerCall& call, bool stream, Learners learners = Learners::kRefuse);
  // This member learns, and so serves next to nothing.
  bool is_learner() const { return node_.state().is_learner.load(std::memory_order_relaxed); }

  // Who asks, and what they may; see rpc/access.h.
  const AuthSettings& auth() const { return access_.settings(); }
  const auth::Rules& rules(Lane& lane) const { return access_.rules(lane.access); }
  absl::StatusOr<auth::Identity> who(const net::ServerCall& call) {
    return access_.who(lane(call).access, call);
  }
  absl::Status require_user(const net::ServerCall& call) {
    return access_.require_user(lane(call).access, call);
  }
  absl::Status require_admin(const net::ServerCall& call) {
    return access_.require_admin(lane(call).access, call);
  }
  // For whoever showed `token` to another member.
  absl::Status require_admin(Lane& lane, std::string_view token) {
    return access_.require_admin(lane.access, token, lane.loop.now());
  }
  // A user's name and rules kept for another lane, where leases are. UserEmpty where somebody must
  // be logged in and is not.
  struct Asker {
    std::string user;
    uint64_t revision = 0;
    auth::Identity identity() const { return {user, revision}; }
  };
  absl::StatusOr<Asker> user_of(const net::ServerCall& call);
  // `run` runs now or, where the call shows a token that others gave out and this member has yet to
  // hear of, when it has caught up.
  template <typename Run>
  void when_token_known(const net::CallRef& call, Run&& run) {
    Lane& on = lane(*call);
    const uint64_t applied = node_.state().applied.load(std::memory_order_acquire);
    if (!access_.may_come(on.access, *call, applied)) return run();
    on.gateway->read(origin(*call),
                     [run = std::forward<Run>(run)](absl::Status) mutable { run(); });
  }

  // The same for a stream: no message of it is looked at before.
  void hold_until_token_known(const net::CallRef& call);

  // Whose share of what there is it takes: a user's, where that matters, else the connection's.
  Origin origin(const net::ServerCall& call);

  // A read by a user's rights: to be asked before it, and again behind it, when what it saw may be
  // newer than the rules it was held against. A value.
  struct ReadRight {
    uint64_t revision = 0;  // of the rules it was held against; 0: against none, of nobody
  };
  absl::StatusOr<ReadRight> may_read(const net::ServerCall& call, std::string_view key,
                                     std::string_view range_end);
  absl::StatusOr<ReadRight> may_read(const net::ServerCall& call,
                                     const etcdserverpb::TxnRequest& txn);
  bool still_holds(Lane& lane, const ReadRight& right) const {
    return right.revision == 0 || right.revision == rules(lane).revision();
  }

  // Hides what members of etcd before 3.7 would not look at, if there may be any. True: it has.
  absl::StatusOr<bool> hide_ranges(const net::ServerCall& call, etcdserverpb::TxnRequest& txn);

  // NoSpace when `cost` more bytes would pass the quota; the NOSPACE alarm is raised then.
  absl::Status check_quota(Lane& lane, int64_t cost);

  // A response message: the header (`revision` 0: the store's; none: left out), then the body.
  Parts respond(int64_t revision, Parts body);
  Parts respond_without_revision(Parts body);

  // Proposes in the name of who asks, and answers the call with what the state machine says. On a
  // full disk what adds to the store is refused: what has a `cost` (apply::put_cost and its like).
  void propose(net::CallRef call, wire::InternalKind kind, const Encoded& request,
               int64_t cost = 0);
  // The same with the reply handed to `done`. Refused where it is applied because the rules have
  // changed since it was let in, it is proposed again under the new ones.
  void propose_for(net::CallRef call, wire::InternalKind kind, const Encoded& request, int64_t cost,
                   absl::AnyInvocable<void(apply::Reply)> done);
  // The same in nobody's name.
  void propose_for_nobody(net::CallRef call, wire::InternalKind kind, std::string_view request,
                          absl::AnyInvocable<void(apply::Reply)> done);
  // In the name of a user whose call may be over; empty: of nobody. No new try is made when the
  // rules have changed: AuthOldRevision.
  void propose_as(Lane& lane, Origin from, std::string_view user, wire::InternalKind kind,
                  std::string_view request, absl::AnyInvocable<void(apply::Reply)> done);
  // In the name of no user; `from` {}: the member's own. The size limit is checked here.
  void propose(Lane& lane, Origin from, wire::InternalKind kind, std::string_view request,
               int64_t cost, absl::AnyInvocable<void(apply::Reply)> done);
  void answer(net::ServerCall& call, apply::Reply reply);

  // Notes that a read began at `start` (by the loop's clock) and is ready to be answered now.
  // `began`: when a worker had begun with it; null: it was read on the lane.
  void read_done(const net::ServerCall& call, wire::InternalKind kind, MonotonicTime start,
                 const absl::StatusOr<apply::Reply>& reply, const MonotonicTime* began = nullptr);
  // Says so if that is too long. What is said of the request is what the call has kept of it.
  void warn_slow_read(const net::ServerCall& call, wire::InternalKind kind, Duration took,
                      const absl::StatusOr<apply::Reply>& reply);
  // The same for what went through the log; costs no look at a clock.
  void proposal_done(Lane& lane, wire::InternalKind kind, MonotonicTime start, bool ok);
  RequestObserver* observer() { return observer_; }

 private:
  absl::StatusOr<ReadRight> may_read(const net::ServerCall& call,
                                     absl::FunctionRef<absl::Status(const apply::Permits&)> ask);
  bool may_be_new(const net::ServerCall& call, uint64_t revision);
  // Whether members of etcd before 3.7 may be in the cluster.
  bool may_have_old_members() const;
  void leave_former_store(Lane& lane);
  static Origin origin(const net::ServerCall& call, const auth::Identity& asks);
  struct Entry {
    wire::InternalKind kind;
    uint64_t id;
    Bytes bytes;
    int64_t cost = 0;
    bool hidden = false;  // as in Encoded
  };
  void submit(Lane& lane, Origin from, Entry entry, absl::AnyInvocable<void(apply::Reply)> done);
  // The same for a call, whose span hears of it.
  void submit_for(net::CallRef call, Origin from, Entry entry,
                  absl::AnyInvocable<void(apply::Reply)> done);
  void raise_no_space(Lane& lane);
  Parts respond_with(int64_t revision, bool with_revision, Parts body);

  node::Node& node_;
  const Limits limits_;
  const Access access_;
  RequestObserver* const observer_;
  Others* others_ = nullptr;
  trace::Tracer* tracer_ = nullptr;
  LineBudget* lines_ = nullptr;
  std::atomic<bool> raising_alarm_{false};  // while a proposal of it is under way
  LongReads long_reads_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // whose watches may end what those have begun
  Workers snapshot_workers_;
  Logins logins_;
};

// A unary method whose body runs once the common checks have passed.
class Unary : public net::UnaryHandler {
 public:
  // kServe: run() itself refuses what a learner does not serve.
  explicit Unary(Context& context, Context::Learners learners = Context::Learners::kRefuse)
      : context_(context), learners_(learners) {}
  void handle(net::CallRef call, Bytes request) final {
    if (absl::Status s = context_.admit(*call, false, learners_); !s.ok()) {
      return call->fail(std::move(s));
    }
    context_.when_token_known(call, [this, call, request = std::move(request)]() mutable {
      run(std::move(call), std::move(request));
    });
  }

 protected:
  virtual void run(net::CallRef call, Bytes request) = 0;
  Context& context_;

 private:
  const Context::Learners learners_;
};

}  // namespace keelson::rpc
