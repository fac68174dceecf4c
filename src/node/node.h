// node/node.h
//
// Node is one member without its network: the store and its log brought up from what is on disk,
// the lanes that drive them, and the doors (gateways) through which io lanes come in.
//
// Threads: create(), start() and stop() on one thread that is none of the lanes. The accessors are
//   for any thread; what they return says what it allows.
// Lifetime: gateways are made before start() and live as long as the node. Once stop() is done and
//   the lanes' threads have ended, the node no longer touches the lanes; what is left in their
//   queues goes before the node does.
// Failure: `fatal` is called once, from any lane (the first time counts), when the member must not
//   go on: its log or its store cannot be trusted. It should end the process with the message;
//   nothing more is acknowledged after it.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apply/applier.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/line_budget.h"
#include "base/random.h"
#include "lease/lease_table.h"
#include "membership/cluster.h"
#include "mvcc/store.h"
#include "node/apply_lane.h"
#include "node/consensus.h"
#include "node/gateway.h"
#include "node/hash_runner.h"
#include "node/log_lane.h"
#include "node/member_state.h"
#include "node/raft_log.h"
#include "node/recovery.h"
#include "node/request_ids.h"
#include "node/snap_saver.h"
#include "node/transport.h"
#include "node/versions.h"

namespace keelson::node {

struct Lanes {
  Executor* consensus = nullptr;
  Executor* log = nullptr;
  Executor* apply = nullptr;
  Executor* background = nullptr;  // hashing and the like; may block on the disk
};

struct Options {
  RecoveryOptions recovery;              // its `keep` holds while the member runs, too
  std::vector<std::string> client_urls;  // what the member publishes of itself
  Versions::Options versions;
  Duration heartbeat = std::chrono::milliseconds(100);
  int election_ticks = 10;
  bool pre_vote = true;
  uint64_t max_message_bytes = 1 << 20;  // of entries that go to a peer together; etcd's
  int64_t max_learners = 1;
  bool lease_checkpoints = false;  // the leader puts remaining TTLs into the log (LeaseCheckpoint)
  LogDebt::Limits debt;
  Proposals::Window window;
  ReadRounds::Limits reads;
  apply::Applier::Options applier;
  mvcc::StoreOptions store;
  Gateway::Limits gateway;
  // Hears, on the apply lane, what became of each of the member's own requests. Null: nobody does.
  std::function<void(wire::InternalKind, bool ok, Duration took)> own_request_done = nullptr;
  SnapSaver::Save save_snap = nullptr;  // of marks (wal/snap_files.h); null: there are no files
};

class Node {
 public:
  using Fatal = std::function<void(absl::Status)>;

  // Brings the member up to where it was. `published` is told of each batch of events on the apply
  // lane (see apply::Applier).
  static absl::StatusOr<std::unique_ptr<Node>> create(Options options,
                                                      std::shared_ptr<backend::Backend> backend,
                                                      Lanes lanes, const Clock* clock,
                                                      Random* random, Transport* transport,
                                                      Fatal fatal);
  ~Node();

  // Before start(). The gateway's flush() is to be called at the end of each batch of its lane.
  Gateway* add_gateway(Executor& home);
  // Before start(). Called on the apply lane when the state was replaced; the store's revision() is
  // that of the new one, and no events lead there.
  void set_replaced(std::function<void()> replaced) { tell_replaced_ = std::move(replaced); }
  // Before start(). Called on the apply lane when the members are others than before, and before
  // raft goes by it.
  using MembersChanged = std::function<void(std::shared_ptr<const membership::View>)>;
  void set_members_changed(MembersChanged changed) { tell_members_ = std::move(changed); }
  // Before start(). Called on the apply lane when this member, which leads, asks for a lease that
  // has expired to be revoked; what it returns, if anything, with what became of that.
  using Revoked = absl::AnyInvocable<void(const absl::Status&)>;
  void set_revoking(std::function<Revoked(LeaseId)> tell) { tell_revoking_ = std::move(tell); }
  // Before start(). How the versions of other members are found out.
  void set_ask_versions(Versions::Ask ask) { versions_.set_ask(std::move(ask)); }
  // Before start(). Called once, on the apply lane, when this member is not one of the cluster any
  // more: it must end, and not come back.
  void set_removed(std::function<void()> removed) { tell_removed_ = std::move(removed); }
  // Before start().
  void set_published(apply::Applier::Published published) { *published_ = std::move(published); }

  void start();
  // Fails what is under way, makes the log and the store durable. Lanes still run; gateways get
  // their answers. `done` runs on the log lane.
  void stop(std::function<void(absl::Status)> done);

  // `done` is called once, on any thread: ok when `to` leads; else see Transfers.
  void hand_over_leadership(MemberId to, Duration patience, Transfers::Done done);
  // Calls `done`, on any thread, once no compaction is under way and a crash cannot bring back what
  // was removed.
  void when_compacted(absl::AnyInvocable<void(absl::Status)> done);
  // Gives the space of dead records back once no compaction is under way. `done` is called once, on
  // a thread of the backend.
  void defragment(absl::AnyInvocable<void(absl::Status)> done);

  // Whether this member can go on with a state that came, before anything is done with it:
  // check_tables() and check_follows(). Any thread.
  absl::Status check(const ReceivedState& state) const;

  MemberId member() const { return member_; }
  ClusterId cluster() const { return cluster_; }
  MemberState& state() { return state_; }
  const Clock& clock() const { return clock_; }
  mvcc::Store& store() { return *store_; }
  // The one that there is now; any thread.
  std::shared_ptr<backend::Backend> backend() const {
    return backend_.load(std::memory_order_acquire);
  }
  // A received state may be made with these.
  const mvcc::StoreOptions& store_options() const { return options_.store; }
  membership::Cluster& members() { return *members_; }
  const apply::Alarms& alarms() const { return applier_->alarms(); }
  const auth::AuthStore& auth() const { return applier_->auth(); }
  const apply::OpCounts& op_counts() const { return applier_->counts(); }
  const lease::LeaseCounters& lease_counts() const { return leases_->counters(); }
  RequestIdSource& request_ids() { return request_ids_; }
  ApplyLane& apply_lane() { return apply_lane_; }
  Consensus& consensus() { return consensus_; }
  Executor& background() { return *lanes_.background; }
  // Whether the table has what this member says of itself: others may be sent here.
  bool is_published() const;
  // Whether it has asked for that since it was created. Any thread.
  bool has_announced() const { return announced_.load(std::memory_order_acquire); }
  bool is_leader() const { return state_.leader.load(std::memory_order_acquire) == member_.value; }

 private:
  struct Parts;
  Node(Options options, Lanes lanes, const Clock* clock, Random* random, Transport* transport,
       Parts parts);

  static absl::Status open_parts(const Options& options, const Clock* clock, Random* random,
                                 Parts* parts);
  static absl::Status open_state(const Options& options, const Clock* clock, Parts* parts);
  static absl::Status open_core(const Options& options, Random* random, Parts* parts);
  void leadership_changed(bool is_leader, Term term);
  void publish_self();
  void note_standing();
  void members_changed();
  void tell_members();
  void note_members(Index index);
  void flush_members();
  void notice_removal();
  void every_half_second();
  void raise_no_space();
  void revoke_expired_leases();
  void checkpoint_leases();
  using OwnDone = absl::AnyInvocable<void(absl::Status)>;
  void propose_internal(wire::InternalKind kind, std::string_view request, OwnDone done);
  void propose_as_leader(wire::InternalKind kind, const auth::Identity& who,
                         std::string_view request, OwnDone done);
  ProposalDone own_done(wire::InternalKind kind, OwnDone done);
  void log_space_changed();
  void listen_to_store();
  absl::Status install(ReceivedState state);
  void send_state(raft::Message message);
  void dispose(absl::AnyInvocable<void()> task) { lanes_.background->post(std::move(task)); }
  void warm_up();
  void flush_store();
  void close_log(absl::Status flushed, std::function<void(absl::Status)> done);

  const Options options_;
  std::atomic<std::shared_ptr<backend::Backend>> backend_;  // replaced on the apply lane
  const Lanes lanes_;
  Transport* const transport_;
  const Clock& clock_;
  const MemberId member_;
  const ClusterId cluster_;
  const Fatal fatal_;
  const std::unique_ptr<LineBudget> peer_lines_;  // tells on the consensus lane
  const std::unique_ptr<RaftLog> raft_log_;
  MemberState state_;
  RequestIdSource request_ids_;

  const std::unique_ptr<mvcc::Store> store_;
  const std::unique_ptr<membership::Cluster> members_;
  const std::unique_ptr<lease::LeaseTable> leases_;
  const std::unique_ptr<apply::Applier::Published> published_;  // set from outside, may be empty
  const std::unique_ptr<apply::Applier> applier_;
  HashRunner hashes_;
  SnapSaver snap_saver_;
  SharedShares proposal_shares_;
  // They know each other; none uses another before start().
  Consensus consensus_;
  LogLane log_lane_;
  ApplyLane apply_lane_;
  std::vector<std::unique_ptr<Gateway>> gateways_;

  // May be empty.
  std::function<void()> tell_removed_;
  std::function<void()> tell_replaced_;
  MembersChanged tell_members_;
  std::function<Revoked(LeaseId)> tell_revoking_;

  // The member's own door, on the apply lane: leases that expired, what it publishes of itself.
  Gateway own_gateway_;
  RequestIds own_ids_;
  Versions versions_;
  // On the apply lane.
  bool stopping_ = false;
  Term leading_;  // the term in which this member leads; 0: it does not
  bool publishing_ = false;
  std::atomic<bool> announced_{false};  // written there, read by others
  bool removed_ = false;
  bool raising_alarm_ = false;
  // The last that consensus, and that tell_members_, was told.
  std::shared_ptr<const membership::View> noted_members_, told_members_;
  bool members_flush_due_ = false;  // the table has changed since it was last made durable

  // Orders what comes on a backend's threads with the end of the node, or of that backend's time,
  // which it outlives: there may be a thread at the door then. Each backend has its own.
  class StoreDoor {
   public:
    template <typename Call>
    void pass(const Call& call) {
      std::lock_guard lock(mutex_);
      if (!closed_) call();
    }
    void close() {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }

   private:
    std::mutex mutex_;
    bool closed_ = false;
  };
  std::shared_ptr<StoreDoor> store_door_ = std::make_shared<StoreDoor>();
};

}  // namespace keelson::node
