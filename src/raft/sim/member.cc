#include "raft/sim/member.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "raft/confchange/changer.h"
#include "raft/describe.h"
#include "raft/sim/violation.h"

namespace keelson::raft::sim {
namespace {

Bytes number(uint64_t value) {
  return Bytes::build(8, [value](char* out) { store_big64(out, value); });
}

uint64_t number_of(const Bytes& bytes) {
  CHECK(bytes.size() == 8);
  return load_big64(bytes.data());
}

}  // namespace

void StrictLogger::write(LogLevel, std::string_view line) {
  std::printf("  %llu| %.*s\n", static_cast<unsigned long long>(id_.value),
              static_cast<int>(line.size()), line.data());
}

void StrictLogger::panic(std::string_view line) { violated("raft of ", id_.value, ": ", line); }

Member::Member(MemberId id, Shared& shared)
    : id_(id),
      shared_(shared),
      random_(mix(shared.options.seed, id.value)),
      logger_(id, shared.options.trace),
      disk_(shared.options.plant) {}

void Member::begin_with(const ConfState& conf) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->data = number(shared_.oracle.state_at(Index(1)));
  snapshot->metadata = {conf, Index(1), Term(1)};
  disk_.start_from(snapshot, {.term = Term(1), .commit = Index(1)});
}

void Member::start() {
  retired_ = false;
  const Options& o = shared_.options;
  Config config{.id = id_, .election_tick = o.election_tick, .heartbeat_tick = o.heartbeat_tick};
  config.storage = disk_.storage();
  config.async_storage_writes = o.async;
  config.max_size_per_msg = o.max_size_per_msg;
  config.max_committed_size_per_ready = o.max_committed_size;
  config.max_uncommitted_entries_size = o.max_uncommitted_size;
  config.max_inflight_msgs = o.max_inflight;
  config.max_inflight_bytes = o.max_inflight_bytes;
  config.check_quorum = o.check_quorum;
  config.pre_vote = o.pre_vote;
  config.read_only_option = o.lease ? ReadOnlyOption::kLeaseBased : ReadOnlyOption::kSafe;
  config.disable_proposal_forwarding = !o.forwarding;
  config.disable_conf_change_validation = planted(Plant::kConfChangesOverlap);
  config.step_down_on_removal = o.step_down_on_removal;
  config.logger = &logger_;
  config.random = &random_;

  MemoryStorage& storage = *disk_.storage();
  const SnapshotPtr snapshot = *storage.snapshot();
  config.applied = snapshot->metadata.index;
  log_.reset(snapshot->metadata.index, snapshot->metadata.term);
  for (Index i = log_.base() + 1; i <= *storage.last_index(); ++i) {
    const Entries one = *storage.entries(i, i + 1, 0);
    log_.put(i, {one[0].term, content_of(one[0])});
  }
  applied_ = snapshot->metadata.index;
  conf_ = snapshot->metadata.conf_state;
  hard_ = disk_.durable_hard_state();
  soft_ = {};
  shared_.oracle.restarted(id_, hard_, log_);

  absl::StatusOr<std::unique_ptr<RawNode>> node = RawNode::create(config);
  if (!node.ok()) violated(id_.value, " does not start: ", message_of(node.status()));
  node_ = *std::move(node);
  after_input();
}

void Member::crash() {
  node_.reset();
  to_apply_.clear();
  vote_requests_.clear();
  append_answers_.clear();
  apply_answers_.clear();
  disk_.crash(shared_.random);
}

void Member::tick() {
  node_->tick();
  after_input();
}

void Member::step(Message message) {
  if (message.type == MessageType::kMsgReadIndex && !takes_reads()) return;
  node_->step(std::move(message)).IgnoreError();
  after_input();
}

absl::Status Member::propose(std::span<Entry> entries) {
  absl::Status status = node_->propose(entries);
  after_input();
  return status;
}

absl::Status Member::propose(const ConfChangeV2& change, bool as_v1) {
  absl::Status status;
  if (as_v1 && change.changes.size() == 1) {
    const ConfChangeSingle& one = change.changes[0];
    status = node_->propose_conf_change(ConfChange{.type = one.type, .node_id = one.node_id});
  } else {
    status = node_->propose_conf_change(change);
  }
  after_input();
  return status;
}

void Member::read(uint64_t read) {
  if (!takes_reads()) return;
  node_->read_index(number(read));
  after_input();
}

void Member::transfer(MemberId to) {
  node_->transfer_leader(to);
  after_input();
}

void Member::campaign() {
  node_->campaign().IgnoreError();
  after_input();
}

void Member::forget_leader() {
  node_->forget_leader().IgnoreError();
  after_input();
}

void Member::report_snapshot(MemberId to, bool arrived) {
  node_->report_snapshot(to, arrived ? SnapshotStatus::kFinish : SnapshotStatus::kFailure);
  after_input();
}

void Member::report_unreachable(MemberId to) {
  node_->report_unreachable(to);
  after_input();
}

bool Member::write() {
  if (!disk_.can_write()) return false;
  respond(disk_.write(), &append_answers_);
  return true;
}

bool Member::sync() {
  if (!disk_.can_sync()) return false;
  respond(disk_.sync(), &append_answers_);
  while (!vote_requests_.empty() &&
         vote_requests_.front().term <= disk_.durable_hard_state().term) {
    send(std::move(vote_requests_.front()));
    vote_requests_.pop_front();
  }
  return true;
}

bool Member::apply() {
  if (to_apply_.empty()) return false;
  // A snapshot that raft has taken over replaces what waits here.
  drain();
  if (to_apply_.empty()) return false;
  Message work = std::move(to_apply_.front());
  to_apply_.pop_front();
  apply_entries(work.entries);
  respond(std::move(work.responses), &apply_answers_);
  after_input();
  return true;
}

// Where there is one voter, any leader answers reads at once (as etcd-raft's does): also one that
// has not committed in its term, whose commit index may be older than what it or a learner has
// applied; and one that was removed in favour of that voter. So the driver must refuse those.
bool Member::takes_reads() {
  drain();
  if (!leads() || conf_.voters.size() > 1 || !conf_.voters_outgoing.empty()) return true;
  if (conf_.voters[0] != id_) return false;
  return hard_.commit >= log_.base() && log_.term(hard_.commit) == hard_.term;
}

bool Member::answer(bool of_append) {
  std::deque<Message>& answers = of_append ? append_answers_ : apply_answers_;
  if (answers.empty()) return false;
  Message message = std::move(answers.front());
  answers.pop_front();
  note_promise(message);
  step(std::move(message));
  return true;
}

bool Member::drain() {
  bool any = false;
  while (node_->has_ready()) {
    take_ready();
    any = true;
  }
  return any;
}

void Member::after_input() {
  node_->check_invariants();
  const uint64_t later = shared_.calm ? 0 : shared_.options.ready_later;
  if (later > 0 && shared_.random.below(1000) < later) return;
  drain();
  check();
}

void Member::take_ready() {
  Ready ready = node_->ready();
  follow_log(ready);
  answer_reads(ready.read_states);
  check();
  if (!shared_.options.async) {
    work_classic(ready);
  } else {
    for (Message& message : ready.messages) dispatch(std::move(message));
  }
  node_->check_invariants();
}

void Member::follow_log(const Ready& ready) {
  if (!is_empty(ready.snapshot)) restore(*ready.snapshot);
  if (ready.entries.empty()) return;
  const bool led = leads();
  const Term led_term = hard_.term;
  const Index first = ready.entries.front().index;
  const BasicStatus status = node_->basic_status();
  if (led && status.soft_state.state == StateType::kLeader && status.hard_state.term == led_term &&
      first <= log_.last()) {
    violated("leader append-only: ", id_.value, " overwrites its entry ", first.value);
  }
  for (const Entry& entry : ready.entries) {
    if (entry.index <= hard_.commit && entry.index > log_.base() && entry.index <= log_.last() &&
        log_.term(entry.index) != entry.term) {
      violated(id_.value, " overwrites its committed entry ", entry.index.value);
    }
    log_.put(entry.index, {entry.term, content_of(entry)});
    shared_.oracle.holds(entry, log_.term(entry.index - 1));
  }
}

void Member::restore(const Snapshot& snapshot) {
  const SnapshotMetadata& meta = snapshot.metadata;
  if (meta.index <= hard_.commit) {
    violated("monotonic commit: ", id_.value, " has committed ", hard_.commit.value,
             " and restores a snapshot at ", meta.index.value);
  }
  shared_.oracle.snapshot(id_, snapshot);
  log_.reset(meta.index, meta.term);
  hard_.commit = meta.index;
  applied_ = meta.index;
  conf_ = meta.conf_state;
}

// REQUIRES: drained, so that log_ is raft's log.
void Member::check() {
  const BasicStatus now = node_->basic_status();
  if (now.hard_state.term < hard_.term) {
    violated(id_.value, " goes back from term ", hard_.term.value, " to ",
             now.hard_state.term.value);
  }
  if (now.hard_state.term == hard_.term && hard_.vote != kNobody &&
      now.hard_state.vote != hard_.vote) {
    violated("votes: ", id_.value, " voted for ", hard_.vote.value, " and now for ",
             now.hard_state.vote.value, " in term ", hard_.term.value);
  }
  if (now.hard_state.commit < hard_.commit) {
    violated("monotonic commit: ", id_.value, " goes back from ", hard_.commit.value, " to ",
             now.hard_state.commit.value);
  }
  if (now.last_index != log_.last()) return;  // a Ready is outstanding
  const bool elected =
      now.soft_state.state == StateType::kLeader && (!leads() || now.hard_state.term != hard_.term);
  if (elected) shared_.oracle.leads(id_, now.hard_state.term, log_);
  if (now.hard_state.commit > hard_.commit) {
    shared_.oracle.committed(id_, now.hard_state.term, log_, hard_.commit, now.hard_state.commit);
  }
  hard_ = now.hard_state;
  soft_ = now.soft_state;
}

// Storage that does its work while raft waits: everything is durable before anything is said.
void Member::work_classic(Ready& ready) {
  Message write{.type = MessageType::kMsgStorageAppend};
  write.term = ready.hard_state.term;
  write.vote = ready.hard_state.vote;
  write.commit = ready.hard_state.commit;
  write.entries = ready.entries;
  write.snapshot = ready.snapshot;
  if (!ready.hard_state.empty() && ready.hard_state.vote != kNobody) {
    shared_.oracle.votes(id_, ready.hard_state.term, ready.hard_state.vote);
  }
  disk_.issue(std::move(write));
  disk_.write();
  if (shared_.options.plant != Plant::kAckBeforeDurable) {
    while (disk_.can_sync()) disk_.sync();
  }
  for (Message& message : ready.messages) send(std::move(message));
  apply_entries(ready.committed_entries);
  node_->advance();
}

void Member::dispatch(Message message) {
  if (message.type == MessageType::kMsgVote && message.term > disk_.durable_hard_state().term) {
    vote_requests_.push_back(std::move(message));
  } else if (message.to == kLocalAppendThread) {
    disk_.issue(std::move(message));
  } else if (message.to == kLocalApplyThread) {
    to_apply_.push_back(std::move(message));
  } else {
    send(std::move(message));
  }
}

void Member::send(Message message) {
  if (message.to.value == 0 || message.to.value >= kMaxMembers) {
    violated(id_.value, " sends to ", message.to.value);
  }
  if (message.type == MessageType::kMsgSnap) renew(&message);
  if (message.type == MessageType::kMsgReadIndex && shared_.options.reads_name_term &&
      message.from == id_) {
    message.term = node_->basic_status().hard_state.term;
  }
  note_promise(message);
  shared_.network.send(std::move(message), shared_.now);
}

// The driver sends the application's state of now, as etcd does, at least where the stored snapshot
// is from before the receiver was a member: it would ignore that one, and be sent it again, for
// good.
void Member::renew(Message* message) {
  const SnapshotMetadata& stored = message->snapshot->metadata;
  const ConfState& conf = stored.conf_state;
  bool listed = false;
  for (const auto* ids : {&conf.voters, &conf.learners, &conf.voters_outgoing}) {
    listed |= std::find(ids->begin(), ids->end(), message->to) != ids->end();
  }
  if (listed && shared_.random.below(2) == 0) return;
  if (applied_ <= stored.index || applied_ < log_.base()) return;
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->data = number(shared_.oracle.state_at(applied_));
  snapshot->metadata = {conf_, applied_, log_.term(applied_)};
  message->snapshot = std::move(snapshot);
}

void Member::respond(std::vector<Message> responses, std::deque<Message>* own) {
  for (Message& message : responses) {
    if (message.to == id_) {
      own->push_back(std::move(message));
    } else {
      send(std::move(message));
    }
  }
}

void Member::note_promise(const Message& message) {
  if (message.type == MessageType::kMsgVoteResp && !message.reject) {
    shared_.oracle.votes(id_, message.term, message.to);
  } else if (message.type == MessageType::kMsgAppResp) {
    shared_.oracle.promised(id_, message.term, message.reject ? Index(0) : message.index);
  }
}

void Member::apply_entries(const Entries& entries) {
  for (const Entry& entry : entries) {
    if (entry.index <= applied_) continue;  // a snapshot was faster
    if (entry.index != applied_ + 1) {
      violated(id_.value, " is to apply ", entry.index.value, " after ", applied_.value);
    }
    shared_.oracle.applied(id_, entry);
    applied_ = entry.index;
    if (entry.type != EntryType::kNormal) apply_change(entry);
  }
}

void Member::apply_change(const Entry& entry) {
  absl::StatusOr<ConfChangeV2> change = conf_change_of(entry);
  if (!change.ok()) violated("entry ", entry.index.value, " is no configuration change");
  // The application refuses what would leave nobody; so do all, having the same configuration.
  absl::StatusOr<confchange::Next> next = confchange::apply(node_->status().config, *change);
  if (!next.ok() && message_of(next.status()) == "removed all voters") return;
  conf_ = node_->apply_conf_change(*change);
  if (shared_.options.plant == Plant::kConfChangeTwice) conf_ = node_->apply_conf_change(*change);
  shared_.oracle.configured(id_, entry.index, conf_);
}

void Member::answer_reads(const std::vector<ReadState>& reads) {
  for (const ReadState& read : reads) {
    shared_.oracle.read_answered(number_of(read.request_ctx), read.index);
  }
}

void Member::compact() {
  const Index acknowledged = node_->basic_status().applied;
  if (applied_ == Index(0)) return;
  const uint64_t keep = shared_.random.below(8);
  const uint64_t at = std::min(applied_, acknowledged).value;
  const Index compact_to(at > keep ? at - keep : 0);
  disk_.snapshot(applied_, conf_, number(shared_.oracle.state_at(applied_)), compact_to);
}

}  // namespace keelson::raft::sim
