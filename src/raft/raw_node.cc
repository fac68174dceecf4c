#include "raft/raw_node.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "raft/confchange/changer.h"
#include "raft/core.h"
#include "raft/election.h"
#include "raft/membership.h"
#include "raft/step.h"

namespace keelson::raft {
namespace {

absl::Status invalid(std::string_view why) { return absl::InvalidArgumentError(to_absl(why)); }

// Takes over what storage remembers of the last run.
absl::Status load(Core& core, const HardState& state) {
  if (state.empty()) return absl::OkStatus();
  const Index low = core.log->committed();
  const Index high = core.log->last_index();
  if (state.commit < low || state.commit > high) {
    return absl::DataLossError(cat(absl::Hex(core.options.id.value), " state.commit ",
                                   state.commit.value, " is out of range [", low.value, ", ",
                                   high.value, "]"));
  }
  core.log->load_committed(state.commit);
  core.term = state.term;
  core.vote = state.vote;
  return absl::OkStatus();
}

std::string peer_list(const tracker::Config& config) {
  std::string text;
  for (MemberId id : config.voters.all()) {
    absl::StrAppend(&text, text.empty() ? "" : ",", absl::Hex(id.value));
  }
  return text;
}

absl::Status start(Core& core, const Storage::InitialState& initial) {
  absl::StatusOr<tracker::Config> config = confchange::restore(initial.conf_state);
  if (!config.ok()) return config.status();
  const EntryId last = core.log->last_id();
  switch_to_config(core, {*std::move(config), {}});
  absl::Status loaded = load(core, initial.hard_state);
  if (!loaded.ok()) return loaded;
  if (core.options.applied > Index(0)) {
    if (core.options.applied < core.log->applied() ||
        core.options.applied > core.log->committed()) {
      return invalid(cat("applied(", core.options.applied.value, ") is out of range [prevApplied(",
                         core.log->applied().value, "), committed(", core.log->committed().value,
                         ")]"));
    }
    core.log->applied_to(core.options.applied, 0);
  }
  become_follower(core, core.term, kNobody);
  core.lines.info("newRaft ", core.options.id, " [peers: [", peer_list(core.config),
                  "], term: ", core.term, ", commit: ", core.log->committed(),
                  ", applied: ", core.log->applied(), ", lastindex: ", last.index,
                  ", lastterm: ", last.term, "]");
  return absl::OkStatus();
}

}  // namespace

absl::Status proposal_dropped_error() { return absl::UnavailableError("raft proposal dropped"); }
absl::Status step_local_message_error() {
  return absl::InvalidArgumentError("raft: cannot step raft local message");
}
absl::Status step_peer_not_found_error() {
  return absl::NotFoundError("raft: cannot step as peer not found");
}

absl::Status validate(Config& config) {
  if (config.id == kNobody) return invalid("cannot use none as id");
  if (is_local_target(config.id)) return invalid("cannot use local target as id");
  if (config.heartbeat_tick <= 0) return invalid("heartbeat tick must be greater than 0");
  if (config.election_tick <= config.heartbeat_tick) {
    return invalid("election tick must be greater than heartbeat tick");
  }
  if (!config.storage) return invalid("storage cannot be nil");
  if (!config.random) return invalid("random cannot be nil");
  if (config.max_uncommitted_entries_size == 0) config.max_uncommitted_entries_size = kNoLimit;
  if (config.max_committed_size_per_ready == 0) {
    // The two were one parameter once. At least one byte, or nothing could ever be applied.
    config.max_committed_size_per_ready = std::max<uint64_t>(config.max_size_per_msg, 1);
  }
  if (config.max_inflight_msgs <= 0) return invalid("max inflight messages must be greater than 0");
  if (config.max_inflight_bytes == 0) {
    config.max_inflight_bytes = kNoLimit;
  } else if (config.max_inflight_bytes < config.max_size_per_msg) {
    return invalid("max inflight bytes must be >= max message size");
  }
  if (config.read_only_option == ReadOnlyOption::kLeaseBased && !config.check_quorum) {
    return invalid("CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RawNode>> RawNode::create(Config config) {
  absl::Status valid = validate(config);
  if (!valid.ok()) return valid;
  absl::StatusOr<std::unique_ptr<Log>> log =
      Log::open(config.storage, Lines(config.logger), config.max_committed_size_per_ready);
  if (!log.ok()) return log.status();
  absl::StatusOr<Storage::InitialState> initial = config.storage->initial_state();
  if (!initial.ok()) return initial.status();
  auto core = std::make_unique<Core>(config, *std::move(log));
  absl::Status started = start(*core, *initial);
  if (!started.ok()) return started;
  return std::unique_ptr<RawNode>(new RawNode(std::move(core), config.async_storage_writes));
}

RawNode::RawNode(std::unique_ptr<Core> core, bool async_storage_writes)
    : core_(std::move(core)),
      async_storage_writes_(async_storage_writes),
      previous_soft_(core_->soft_state()),
      previous_hard_(core_->hard_state()) {}

RawNode::~RawNode() = default;

absl::Status RawNode::bootstrap(const std::vector<Peer>& peers) {
  if (peers.empty()) return invalid("must provide at least one peer to Bootstrap");
  if (core_->log->last_index() != Index(0)) {
    return absl::FailedPreconditionError("can't bootstrap a nonempty Storage");
  }
  // The first Ready then has a HardState to persist.
  previous_hard_ = {};
  become_follower(*core_, Term(1), kNobody);
  std::vector<Entry> entries;
  for (const Peer& peer : peers) {
    const ConfChange change{.node_id = peer.id, .context = peer.context};
    entries.push_back({.type = EntryType::kConfChange,
                       .type_set = true,
                       .term = Term(1),
                       .index = Index(entries.size() + 1),
                       .data = encode(change)});
  }
  core_->log->append(entries);
  core_->log->load_committed(Index(entries.size()));
  // In force at once, so that campaigning need not wait; they come again, to be applied, with the
  // committed entries.
  for (const Peer& peer : peers) apply_conf_change(ConfChange{.node_id = peer.id});
  return absl::OkStatus();
}

void RawNode::tick() { raft::tick(*core_); }

absl::Status RawNode::campaign() { return raft::step(*core_, {.type = MessageType::kMsgHup}); }

absl::Status RawNode::propose(Bytes data) {
  Entry entry;
  entry.data = std::move(data);
  return propose(std::span(&entry, 1));
}

absl::Status RawNode::propose(std::span<Entry> entries) {
  return raft::propose(*core_, core_->options.id, entries);
}

absl::Status RawNode::propose_conf_change(const ConfChange& change) {
  Entry entry{.type = EntryType::kConfChange, .type_set = true, .data = encode(change)};
  return raft::propose(*core_, kNobody, std::span(&entry, 1));
}

absl::Status RawNode::propose_conf_change(const ConfChangeV2& change) {
  Entry entry{.type = EntryType::kConfChangeV2, .type_set = true, .data = encode(change)};
  return raft::propose(*core_, kNobody, std::span(&entry, 1));
}

ConfState RawNode::apply_conf_change(const ConfChange& change) {
  return apply_conf_change(as_v2(change));
}

ConfState RawNode::apply_conf_change(const ConfChangeV2& change) {
  return raft::apply_conf_change(*core_, change);
}

absl::Status RawNode::step(Message message) {
  const bool from_storage = is_local_target(message.from);
  if (is_local_message(message.type) && !from_storage) return step_local_message_error();
  if (is_response_message(message.type) && !from_storage && !core_->config.contains(message.from)) {
    return step_peer_not_found_error();
  }
  if (is_of_a_term(message.type) && message.term == Term(0)) {
    // It would pass for a message of our own term, and a leader's takes us back to its.
    core_->lines.error(core_->options.id, " dropped a ", message.type, " without a term from ",
                       message.from);
    return absl::OkStatus();
  }
  return raft::step(*core_, std::move(message));
}

void RawNode::read_index(Bytes request_ctx) {
  Message message{.type = MessageType::kMsgReadIndex};
  Entry entry;
  entry.data = std::move(request_ctx);
  message.entries = Entries(std::span(&entry, 1));
  raft::step(*core_, std::move(message)).IgnoreError();
}

void RawNode::step_down() {
  if (!core_->is_leader()) return;
  core_->lines.warning(core_->options.id, " stepped down to follower as it was told to");
  become_follower(*core_, core_->term, kNobody);
}

void RawNode::transfer_leader(MemberId transferee) {
  raft::step(*core_, {.type = MessageType::kMsgTransferLeader, .from = transferee}).IgnoreError();
}

absl::Status RawNode::forget_leader() {
  return raft::step(*core_, {.type = MessageType::kMsgForgetLeader});
}

void RawNode::report_unreachable(MemberId id) {
  raft::step(*core_, {.type = MessageType::kMsgUnreachable, .from = id}).IgnoreError();
}

void RawNode::report_snapshot(MemberId id, SnapshotStatus status) {
  raft::step(*core_, {.type = MessageType::kMsgSnapStatus,
                      .reject = status == SnapshotStatus::kFailure,
                      .from = id})
      .IgnoreError();
}

BasicStatus RawNode::basic_status() const {
  const Leader* leader = core_->leader();
  return {.id = core_->options.id,
          .hard_state = core_->hard_state(),
          .soft_state = core_->soft_state(),
          .applied = core_->log->applied(),
          .last_index = core_->log->last_index(),
          .lead_transferee = leader ? leader->transferee : kNobody,
          .change_pending = leader && leader->pending_conf_index > core_->log->applied()};
}

Status RawNode::status() const {
  Status status;
  static_cast<BasicStatus&>(status) = basic_status();
  status.config = core_->config;
  if (const Leader* leader = core_->leader()) status.progress = leader->progress;
  return status;
}

void RawNode::set_randomized_election_timeout(int ticks) {
  core_->randomized_election_timeout = ticks;
}

void RawNode::check_invariants() const { core_->check_invariants(); }

}  // namespace keelson::raft
