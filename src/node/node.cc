#include "node/node.h"

#include <atomic>
#include <utility>

#include "backend/held_snapshot.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "membership/v2_store.h"
#include "proto/membership.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::node {
namespace {

// etcd's raft settings (server/etcdserver/raft.go).
constexpr int kMaxInflightMessages = 512;
// Bytes handed to the apply lane and not yet applied: bounds what a batch can grow to.
constexpr uint64_t kMaxApplyingBytes = 32 << 20;
constexpr Duration kLeaseInterval = std::chrono::milliseconds(500);
// Of leases in an entry, and of entries each time; etcd's.
constexpr size_t kMostCheckpoints = 1000;
constexpr int kMostCheckpointEntries = 500;

lease::LeaseOptions lease_options(const Options& options) {
  Duration election = options.heartbeat * options.election_ticks;
  auto seconds = std::chrono::ceil<std::chrono::seconds>(election * 3 / 2);
  return {.min_ttl_seconds = seconds.count(),
          .expired_retry_interval = std::chrono::seconds(5) + 2 * election,
          .checkpoints = options.lease_checkpoints};
}

raft::ConfChange change_to_add(const membership::Member& member) {
  return {.type = raft::ConfChangeType::kAddNode,
          .node_id = member.id,
          .context = membership::encode_context(member)};
}

}  // namespace

// What a node is made of, brought up one after the other before there is one.
struct Node::Parts {
  Fatal fatal;
  std::shared_ptr<backend::Backend> backend;
  Recovered found;
  std::unique_ptr<mvcc::Store> store;
  std::unique_ptr<membership::Cluster> members;
  std::unique_ptr<lease::LeaseTable> leases;
  std::unique_ptr<apply::Applier::Published> published;
  std::unique_ptr<apply::Applier> applier;
  std::unique_ptr<LineBudget> peer_lines;
  std::unique_ptr<RaftLog> raft_log;
  Consensus::Start start;
};

Node::Node(Options options, Lanes lanes, const Clock* clock, Random* random, Transport* transport,
           Parts parts)
    : options_(std::move(options)),
      backend_(std::move(parts.backend)),
      lanes_(lanes),
      transport_(transport),
      clock_(*clock),
      member_(parts.found.member),
      cluster_(parts.found.cluster),
      fatal_(std::move(parts.fatal)),
      peer_lines_(std::move(parts.peer_lines)),
      raft_log_(std::move(parts.raft_log)),
      request_ids_(member_, clock->unix_time()),
      store_(std::move(parts.store)),
      members_(std::move(parts.members)),
      leases_(std::move(parts.leases)),
      published_(std::move(parts.published)),
      applier_(std::move(parts.applier)),
      hashes_(*lanes_.background, clock_),
      snap_saver_(*lanes_.background, options_.save_snap),
      proposal_shares_(Gateway::shares(options_.gateway)),
      consensus_(
          *lanes_.consensus, clock_, state_,
          {.id = member_,
           .tick = options_.heartbeat,
           .election_ticks = options_.election_ticks,
           .keep = options_.recovery.keep,
           .debt = options_.debt,
           .window = options_.window,
           .lines = peer_lines_.get(),
           .read_context_seed = random->next(),
           .reads = options_.reads},
          std::move(parts.start),
          {.log = log_lane_,
           .apply = apply_lane_,
           .transport = transport,
           .leadership_changed = [this](bool leads, Term term) { leadership_changed(leads, term); },
           .flush_store = [this] { flush_store(); },
           .marked =
               [this](raft::SnapshotMetadata mark,
                      std::shared_ptr<const membership::View> members) {
                 snap_saver_.save(std::move(mark), std::move(members));
               },
           .dispose = [this](absl::AnyInvocable<void()> task) { dispose(std::move(task)); },
           .fatal = fatal_}),
      log_lane_(
          *lanes_.log, std::move(parts.found.wal), state_,
          [this](std::vector<raft::Message> appends) { consensus_.durable(std::move(appends)); },
          [this](bool made) { consensus_.marked(made); }, [this] { log_space_changed(); }, fatal_),
      apply_lane_(*lanes_.apply, *applier_, state_, consensus_,
                  {.run_hash =
                       [this](std::unique_ptr<mvcc::HashKvJob> job) {
                         hashes_.run(std::move(job));
                         applier_->when_compacted([this] { hashes_.compacted(); });
                       },
                   .no_space = [this] { raise_no_space(); },
                   .install = [this](ReceivedState state) { return install(std::move(state)); },
                   .send_state = [this](raft::Message message) { send_state(std::move(message)); },
                   .members_changed = [this] { members_changed(); },
                   .stands_at = [this](Index index) { note_members(index); },
                   .fatal = fatal_}),
      own_gateway_(*lanes_.apply, consensus_, state_, proposal_shares_, clock_, options_.gateway),
      own_ids_(request_ids_),
      versions_(*lanes_.apply, *members_, member_, options_.versions,
                [this](wire::InternalKind kind, std::string request,
                       std::function<void(absl::Status)> done) {
                  propose_as_leader(kind, {}, request, std::move(done));
                }) {
  CHECK(lanes_.consensus != nullptr);
  CHECK(lanes_.log != nullptr);
  CHECK(lanes_.apply != nullptr);
  CHECK(lanes_.background != nullptr);
  CHECK(applier_->applied_index() == parts.found.applied);
  state_.applied = parts.found.applied.value;
  noted_members_ = told_members_ = members_->view();
  note_standing();
  listen_to_store();
}

Node::~Node() { store_door_->close(); }

absl::StatusOr<std::unique_ptr<Node>> Node::create(Options options,
                                                   std::shared_ptr<backend::Backend> backend,
                                                   Lanes lanes, const Clock* clock, Random* random,
                                                   Transport* transport, Fatal fatal) {
  Parts parts;
  parts.backend = std::move(backend);
  parts.peer_lines = std::make_unique<LineBudget>(*clock, lanes.consensus);
  parts.fatal = [told = std::make_shared<std::atomic<bool>>(false),
                 fatal = std::move(fatal)](absl::Status status) {
    if (!told->exchange(true)) fatal(std::move(status));
  };
  if (absl::Status s = open_parts(options, clock, random, &parts); !s.ok()) return s;
  return std::unique_ptr<Node>(
      new Node(std::move(options), lanes, clock, random, transport, std::move(parts)));
}

absl::Status Node::open_parts(const Options& options, const Clock* clock, Random* random,
                              Parts* parts) {
  absl::StatusOr<Recovered> found = recover(options.recovery, *parts->backend);
  if (!found.ok()) return found.status();
  parts->found = *std::move(found);
  absl::Status noted = parts->backend->note_log();
  if (!noted.ok() && !absl::IsResourceExhausted(noted)) return noted;
  if (absl::Status s = open_state(options, clock, parts); !s.ok()) return s;
  return open_core(options, random, parts);
}

absl::Status Node::open_state(const Options& options, const Clock* clock, Parts* parts) {
  backend::Backend* backend = parts->backend.get();
  absl::StatusOr<std::unique_ptr<mvcc::Store>> store = mvcc::Store::open(backend, options.store);
  if (!store.ok()) return store.status();
  parts->store = *std::move(store);
  parts->members =
      std::make_unique<membership::Cluster>(parts->found.cluster, options.max_learners);
  if (absl::Status s = parts->members->restore(*backend); !s.ok()) return s;
  parts->leases = std::make_unique<lease::LeaseTable>(lease_options(options));
  parts->published = std::make_unique<apply::Applier::Published>();
  apply::Applier::Options applying = options.applier;
  applying.auth.started_at = parts->found.storage->last();
  absl::StatusOr<std::unique_ptr<apply::Applier>> applier = apply::Applier::create(
      backend, parts->store.get(), parts->leases.get(), parts->members.get(), clock, applying,
      [published = parts->published.get()](mvcc::EventBatchPtr events) {
        if (*published) (*published)(std::move(events));
      });
  if (!applier.ok()) return applier.status();
  parts->applier = *std::move(applier);
  return absl::OkStatus();
}

absl::Status Node::open_core(const Options& options, Random* random, Parts* parts) {
  Recovered& found = parts->found;
  parts->raft_log = std::make_unique<RaftLog>(parts->fatal, parts->peer_lines.get());
  absl::StatusOr<std::unique_ptr<raft::RawNode>> core = raft::RawNode::create({
      .id = found.member,
      .election_tick = options.election_ticks,
      .heartbeat_tick = 1,
      .storage = found.storage.get(),
      .applied = found.applied,
      .async_storage_writes = true,
      .max_size_per_msg = options.max_message_bytes,
      .max_committed_size_per_ready = kMaxApplyingBytes,
      .max_inflight_msgs = kMaxInflightMessages,
      .check_quorum = true,
      .pre_vote = options.pre_vote,
      .logger = parts->raft_log.get(),
      .random = random,
  });
  if (!core.ok()) return core.status();
  if (!found.bootstrap.empty()) {
    std::vector<raft::Peer> peers;
    for (const membership::Member& member : found.bootstrap) {
      peers.push_back({member.id, change_to_add(member).context});
    }
    if (absl::Status s = (*core)->bootstrap(peers); !s.ok()) return s;
  }
  parts->start.conf =
      conf_state_of(found.bootstrap.empty() ? parts->members->view()->members : found.bootstrap);
  parts->start.members = parts->members->view();
  parts->start.position = {.marked = found.marked,
                           .durable = found.durable,
                           .applied = found.applied,
                           .unmarked_bytes = found.unmarked_bytes,
                           .undurable_bytes = found.undurable_bytes};
  parts->start.core = *std::move(core);
  parts->start.storage = std::move(found.storage);
  return absl::OkStatus();
}

Gateway* Node::add_gateway(Executor& home) {
  gateways_.push_back(std::make_unique<Gateway>(home, consensus_, state_, proposal_shares_, clock_,
                                                options_.gateway));
  return gateways_.back().get();
}

void Node::start() {
  CHECK(!stopping_);
  CHECK(state_.applied.load() <= state_.committed.load());
  consensus_.space_changed();  // the disk may have been found full
  consensus_.start();
  // With a compaction that the last end interrupted: nothing else may come for a while.
  apply_lane_.run([](apply::Applier&) {});
  lanes_.apply->post([this] { warm_up(); });
  lanes_.apply->post_after(kLeaseInterval, [this] { every_half_second(); });
}

void Node::hand_over_leadership(MemberId to, Duration patience, Transfers::Done done) {
  const MonotonicTime start = clock_.now();
  log::info("leadership transfer starting", {{"local-member-id", member_.value},
                                             {"current-leader-member-id", state_.leader.load()},
                                             {"transferee-member-id", to.value}});
  consensus_.transfer_leader(
      to, patience, [this, to, start, done = std::move(done)](absl::Status status) mutable {
        if (status.ok()) {
          log::info("leadership transfer finished",
                    {{"local-member-id", member_.value},
                     {"new-leader-member-id", to.value},
                     {"took", duration_text(clock_.now() - start)}});
        }
        done(std::move(status));
      });
}

// The lane that writes may be waiting for the store already.
void Node::stop(std::function<void(absl::Status)> done) {
  backend()->end_patience();
  applier_->give_up();
  lanes_.apply->post([this] { stopping_ = true; });
  consensus_.stop([this, done = std::move(done)]() mutable {
    // Behind everything that was handed to these lanes before.
    lanes_.apply->post([this, done = std::move(done)]() mutable {
      // Through the door, too: when `done` is called the store's thread has left the lane that it
      // posted to, which may be gone at once.
      backend()->flush([this, door = store_door_, done = std::move(done)](absl::Status s) mutable {
        door->pass([&] { close_log(std::move(s), std::move(done)); });
      });
    });
  });
}

// By way of the consensus lane, so that the mark which the flush brought is written before.
void Node::close_log(absl::Status flushed, std::function<void(absl::Status)> done) {
  lanes_.consensus->post([this, flushed = std::move(flushed), done = std::move(done)]() mutable {
    log_lane_.close([this, flushed = std::move(flushed), done = std::move(done)](absl::Status s) {
      store_door_->close();
      // What a full disk kept from the store is in the log: that is no fault of the shutdown.
      done(flushed.ok() || absl::IsResourceExhausted(flushed) ? s : flushed);
    });
  });
}

// On the consensus lane.
void Node::leadership_changed(bool is_leader, Term term) {
  lanes_.apply->post([this, is_leader, term] {
    CHECK((leading_ != Term(0)) != is_leader);
    leading_ = is_leader ? term : Term(0);
    if (is_leader) {
      leases_->promote(options_.heartbeat * options_.election_ticks, clock_.now());
      versions_.lead(clock_.now());
    } else {
      leases_->demote();
      versions_.follow();
    }
    publish_self();
  });
}

bool Node::is_published() const {
  std::shared_ptr<const membership::View> view = members_->view();
  const membership::Member* self = view->find(member_);
  return self && self->name == options_.recovery.name && self->client_urls == options_.client_urls;
}

// On the apply lane. What the cluster should know of this member, if it does not yet: others find
// us by it.
void Node::publish_self() {
  if (publishing_ || state_.leader.load(std::memory_order_relaxed) == 0) return;
  if (!members_->view()->find(member_) || is_published()) return;
  membershippb::ClusterMemberAttrSetRequest request;
  request.set_member_id(member_.value);
  request.mutable_member_attributes()->set_name(options_.recovery.name);
  for (const std::string& url : options_.client_urls) {
    request.mutable_member_attributes()->add_client_urls(url);
  }
  publishing_ = true;
  announced_.store(true, std::memory_order_release);
  propose_internal(wire::InternalKind::kClusterMemberAttrSet, request.SerializeAsString(),
                   [this](const absl::Status& status) {
                     CHECK(publishing_);
                     publishing_ = false;
                     if (!status.ok()) return;
                     log::info("published local member to cluster through raft",
                               {{"local-member-id", cat(absl::Hex(member_.value))},
                                {"cluster-id", cat(absl::Hex(cluster_.value))}});
                   });
}

// On the apply lane, or before it runs. A member that is not in the table yet, as one that joins,
// is no learner.
void Node::note_standing() {
  std::shared_ptr<const membership::View> view = members_->view();
  const membership::Member* self = view->find(member_);
  state_.is_learner.store(self && self->is_learner, std::memory_order_relaxed);
}

void Node::members_changed() {
  note_standing();
  tell_members();
  notice_removal();
}

// Of every change, what members say of themselves and the cluster's version among them: others ask
// for it, one that has lost its disk to learn that it must not begin again.
void Node::tell_members() {
  std::shared_ptr<const membership::View> now = members_->view();
  if (now == told_members_) return;
  told_members_ = now;
  if (tell_members_) tell_members_(std::move(now));
}

// On the apply lane. Before the store can be durable there.
void Node::note_members(Index index) {
  std::shared_ptr<const membership::View> now = members_->view();
  if (now == noted_members_) return;
  noted_members_ = now;
  members_flush_due_ = true;
  consensus_.members_changed(std::move(now), index);
  tell_members();
}

// A start answers from the store who the members are, before it has gone through its log.
void Node::flush_members() {
  if (!std::exchange(members_flush_due_, false)) return;
  backend()->flush([](const absl::Status& status) {
    if (status.ok()) return;
    log::warn("the table of members is not durable yet", {{"error", message_of(status)}});
  });
}

void Node::notice_removal() {
  if (removed_) return;
  if (!members_->view()->is_removed(member_)) return;
  CHECK(members_->view()->find(member_) == nullptr);
  removed_ = true;
  log::warn("this member has been removed from the cluster",
            {{"member-id", member_.value}, {"cluster-id", cluster_.value}});
  if (tell_removed_) tell_removed_();
}

// On the apply lane.
void Node::every_half_second() {
  if (stopping_) return;
  lanes_.apply->post_after(kLeaseInterval, [this] { every_half_second(); });
  notice_removal();
  flush_members();
  revoke_expired_leases();
  checkpoint_leases();
  // Again, if it failed.
  publish_self();
  versions_.look(clock_.now());
}

// A write was done past the quota: from now on what adds is refused, on every member. On the apply
// lane, as etcd does when the check ahead of the log was passed by several at once.
void Node::raise_no_space() {
  if (std::exchange(raising_alarm_, true)) return;
  etcdserverpb::AlarmRequest alarm;
  alarm.set_memberid(member_.value);
  alarm.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  alarm.set_alarm(etcdserverpb::NOSPACE);
  propose_internal(wire::InternalKind::kAlarm, alarm.SerializeAsString(), [this](absl::Status) {
    CHECK(raising_alarm_);
    raising_alarm_ = false;
  });
}

// The leader asks for what has expired to be revoked. A proposal that fails is made again when the
// table names the lease again.
void Node::revoke_expired_leases() {
  if (leading_ == Term(0)) return;
  // Whatever keys hang on it: as etcd, in the name of who may write them all.
  const auth::Rules& rules = auth().rules();
  const auth::Identity who =
      rules.enabled() ? auth::Identity{auth::kRoot, rules.revision()} : auth::Identity();
  for (LeaseId id : leases_->take_expired(clock_.now())) {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id.value);
    Revoked told = tell_revoking_ ? tell_revoking_(id) : nullptr;
    propose_as_leader(wire::InternalKind::kLeaseRevoke, who, request.SerializeAsString(),
                      [this, told = std::move(told)](const absl::Status& status) mutable {
                        if (status.ok()) ++state_.leases_expired;
                        if (told) told(status);
                      });
  }
}

// So that the next leader does not begin with whole TTLs. A proposal that gets lost is not made
// again: the lease lives longer then, as without any.
void Node::checkpoint_leases() {
  if (leading_ == Term(0)) return;
  std::vector<lease::Checkpoint> due;
  int entries = 0;
  do {
    due = leases_->take_due_checkpoints(clock_.now(), kMostCheckpoints);
    if (due.empty()) return;
    CHECK(due.size() <= kMostCheckpoints);
    etcdserverpb::LeaseCheckpointRequest request;
    for (const lease::Checkpoint& checkpoint : due) {
      etcdserverpb::LeaseCheckpoint* added = request.add_checkpoints();
      added->set_id(checkpoint.id.value);
      added->set_remaining_ttl(checkpoint.remaining_ttl_seconds);
    }
    propose_as_leader(wire::InternalKind::kLeaseCheckpoint, {}, request.SerializeAsString(),
                      [](absl::Status) {});  // told in the log
  } while (due.size() == kMostCheckpoints && ++entries < kMostCheckpointEntries);
}

// On the apply lane.
void Node::propose_internal(wire::InternalKind kind, std::string_view request, OwnDone done) {
  const uint64_t id = own_ids_.next();
  own_gateway_.propose({}, id, wire::wrap_internal(id, {}, 0, kind, request),
                       Gateway::Space::kSpared, own_done(kind, std::move(done)));
  own_gateway_.flush();
}

// What only the leader may ask for, in the term in which it leads.
void Node::propose_as_leader(wire::InternalKind kind, const auth::Identity& who,
                             std::string_view request, OwnDone done) {
  CHECK(leading_ != Term(0));
  const uint64_t id = own_ids_.next();
  own_gateway_.propose_in(
      leading_, id, wire::wrap_internal(id, who.user, who.revision, kind, request),
      kind == wire::InternalKind::kLeaseRevoke ? Gateway::Space::kRevoked : Gateway::Space::kSpared,
      own_done(kind, std::move(done)));
  own_gateway_.flush();
}

ProposalDone Node::own_done(wire::InternalKind kind, OwnDone done) {
  return [this, done = std::move(done), kind, start = clock_.now()](apply::Reply reply) mutable {
    if (options_.own_request_done) {
      options_.own_request_done(kind, reply.status.ok(), clock_.now() - start);
    }
    if (!reply.status.ok()) {
      log::warn("the member's own proposal failed",
                {{"request", wire::name_of(kind)}, {"error", message_of(reply.status)}});
    }
    done(std::move(reply.status));
  };
}

void Node::when_compacted(absl::AnyInvocable<void(absl::Status)> done) {
  apply_lane_.run([this, done = std::move(done)](apply::Applier& applier) mutable {
    if (!applier.may_wait()) return done(errors::RequestTooManyRequests());
    applier.when_compacted(
        [this, done = std::move(done)]() mutable { backend()->flush(std::move(done)); });
  });
}

// What a compaction has yet to remove is not dead before, and asked for in vain.
void Node::defragment(absl::AnyInvocable<void(absl::Status)> done) {
  apply_lane_.run([this, done = std::move(done)](apply::Applier& applier) mutable {
    if (!applier.may_wait()) return done(errors::RequestTooManyRequests());
    applier.when_compacted(
        [this, done = std::move(done)]() mutable { backend()->reclaim(std::move(done)); }, true);
  });
}

// On the log lane. The store may hold space back on the same disk.
void Node::log_space_changed() {
  if (state_.disk_full.load(std::memory_order_relaxed)) backend()->make_room();
  consensus_.space_changed();
}

void Node::listen_to_store() {
  const std::shared_ptr<backend::Backend> backend = this->backend();
  backend->set_durable_listener([door = store_door_, consensus = &consensus_](Index index) {
    door->pass([&] { consensus->backend_durable(index); });
  });
  backend->set_health_listener([door = store_door_, this](const absl::Status& health) {
    door->pass([&] {
      state_.store_full.store(absl::IsResourceExhausted(health), std::memory_order_relaxed);
      consensus_.space_changed();
      if (absl::IsDataLoss(health)) fatal_(health);
    });
  });
  // It may have been found full. In order with what the listener hears.
  store_door_->pass([&] {
    state_.store_full.store(absl::IsResourceExhausted(backend->health()),
                            std::memory_order_relaxed);
  });
}

// Nothing comes of one that this member does not need any more, whatever revision it is at.
absl::Status Node::check(const ReceivedState& state) const {
  const int64_t revision = store_->revision();
  absl::Status readable = check_tables(*state.backend, options_.applier.auth, &clock_);
  if (!readable.ok() || state.index.value <= state_.applied.load(std::memory_order_acquire)) {
    return readable;
  }
  return check_follows(state, revision);
}

// On the apply lane. What the former store's threads still say is about a store that nobody has any
// more.
absl::Status Node::install(ReceivedState state) {
  log::info("applying snapshot", {{"current-applied-index", state_.applied.load()},
                                  {"incoming-snapshot-index", state.index.value},
                                  {"incoming-snapshot-term", state.term.value}});
  CHECK(state.backend != nullptr);
  CHECK(state.backend->consistent_index() == state.index);
  // Again: what was applied since it was checked counts, too.
  if (absl::Status s = check_follows(state, store_->revision()); !s.ok()) return s;
  log::info("applySnapshot: opened snapshot backend");
  KEELSON_FAILPOINT("apply_opened");
  hashes_.drop();
  store_door_->close();
  store_door_ = std::make_shared<StoreDoor>();
  std::shared_ptr<backend::Backend> former =
      backend_.exchange(state.backend, std::memory_order_acq_rel);
  former->end_patience();
  listen_to_store();
  absl::Status replaced = applier_->replace(
      {.index = state.index,
       .term = state.term,
       .backend = state.backend.get(),
       .store = std::move(state.store),
       .former = std::move(former)},
      [lane = lanes_.background](absl::AnyInvocable<void()> task) { lane->post(std::move(task)); });
  if (!replaced.ok()) return replaced;
  note_members(state.index);
  members_changed();
  if (tell_replaced_) tell_replaced_();
  warm_up();
  log::info("applied snapshot", {{"incoming-snapshot-index", state.index.value},
                                 {"incoming-snapshot-term", state.term.value}});
  return absl::OkStatus();
}

// On the apply lane, between two batches: the backend holds what is applied, and the tables agree.
void Node::send_state(raft::Message message) {
  if (!transport_) return;
  std::shared_ptr<const backend::Snapshot> state = backend::held_snapshot(backend());
  CHECK(state->consistent_index().value == state_.applied.load(std::memory_order_relaxed));
  std::shared_ptr<const membership::View> members = members_->view();
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata = {conf_state_of(members->members), state->consistent_index(),
                        state->consistent_term()};
  // Members of etcd up to 3.5 end on a snapshot without it.
  snapshot->data = Bytes::copy(membership::v2_store_json(*members));
  message.snapshot = std::move(snapshot);
  transport_->send_snapshot(std::move(message), std::move(state));
}

// On the apply lane. The values pass by while the store is verified: what fits into memory is kept.
void Node::warm_up() {
  struct Progress {
    std::atomic<bool> busy{false};  // the lane has not taken the last ones yet
    std::atomic<bool> enough{false};
  };
  auto progress = std::make_shared<Progress>();
  backend()->read_through([door = store_door_, progress, this](backend::PassingRecords records) {
    // A lane that is behind has better to do: these stay on disk until they are asked for.
    if (progress->enough) return false;
    if (progress->busy.exchange(true)) return true;
    door->pass([&] {
      lanes_.apply->post([this, progress, records = std::move(records)] {
        CHECK(progress->busy);
        progress->enough = !store_->warm(records);
        progress->busy = false;
      });
    });
    return true;
  });
}

// On the consensus lane. Flushes belong to the lane that writes.
void Node::flush_store() {
  lanes_.apply->post([this] {
    backend()->flush([door = store_door_, consensus = &consensus_](absl::Status flushed) {
      if (!flushed.ok()) log::warn("the store did not flush", {{"error", message_of(flushed)}});
      door->pass([&] { consensus->store_flushed(); });
    });
  });
}

}  // namespace keelson::node
