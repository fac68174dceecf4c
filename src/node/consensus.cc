#include "node/consensus.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "node/condense.h"
#include "node/gateway.h"
#include "node/keep_time.h"
#include "node/received.h"
#include "raft/quorum/quorum.h"
#include "wire/internal_request.h"

namespace keelson::node {
namespace {

// What a member without peers keeps of what it has applied.
constexpr LogStorage::Keep kAlone{.entries = 64, .bytes = 1 << 20};
// Of the log in memory, while snapshots are on their way to others. Whoever needs more than that
// behind its snapshot will need another one.
constexpr uint64_t kMostHeld = uint64_t{512} << 20;

}  // namespace

Consensus::Consensus(Executor& lane, const Clock& clock, MemberState& state, Options options,
                     Start start, Doors doors)
    : lane_(lane),
      clock_(clock),
      state_(state),
      options_(options),
      storage_(std::move(start.storage)),
      core_(std::move(start.core)),
      doors_(std::move(doors)),
      proposals_(options.window),
      reads_(options.read_context_seed, options.reads),
      debt_(options.debt, start.position),
      log_watch_(options.election_ticks),
      heartbeats_(options.tick),
      applied_(start.position.applied) {
  const raft::BasicStatus now = core_->basic_status();
  CHECK(applied_ == now.applied);
  CHECK(applied_ <= now.hard_state.commit);
  CHECK(now.hard_state.commit <= storage_->last() || storage_->last() == Index(0));
  CHECK(storage_->first() <= start.position.durable + 1);
  CHECK(options_.id != raft::kNobody);
  CHECK(options_.tick > Duration(0));
  state_.term = now.hard_state.term.value;
  durable_term_ = now.hard_state.term;
  state_.committed = now.hard_state.commit.value;
  configurations_.note(applied_, std::move(start.conf));
  members_.note(applied_, std::move(start.members));
  storage_->set_applied([this]() -> std::optional<raft::SnapshotMetadata> {
    // A received state that is not installed yet, or a mark that came sooner than word of what is
    // applied: the index is before what is known here.
    if (applied_ < terms_.first() || !configurations_.at(applied_)) return std::nullopt;
    return metadata_at(applied_);
  });
  terms_ = TermStarts(storage_->first() - 1, *storage_->term(storage_->first() - 1));
  for (Index i = storage_->first(); i <= storage_->last(); ++i) terms_.note(i, *storage_->term(i));
  check_invariants();
}

// What holds whenever nothing is being done here, but for what costs more than a look.
void Consensus::check_invariants() const {
  CHECK(applied_.value <= state_.committed.load(std::memory_order_relaxed));
  CHECK(durable_term_.value <= state_.term.load(std::memory_order_relaxed));
  CHECK(!configurations_.empty());
  CHECK(!members_.empty());
  CHECK(!announced_ || is_leader_);
  CHECK(!is_leader_ || leader_ == options_.id);
  CHECK(state_.log_stalled.load(std::memory_order_relaxed) == log_watch_.stalled());
  CHECK(votes_.empty() || votes_.front().term > durable_term_);
  CHECK(!received_.has_value());
  CHECK(installing_.empty() || installing_.front().index > applied_);
}

void Consensus::start() {
  post([this] {
    campaign_if_alone();
    // A crash may have come between the store's flush and its mark.
    mark_when_due();
    schedule_flush();
    keep_time(lane_, clock_, options_.tick, clock_.now(), [this] {
      if (!stopped_) tick();
      return !stopped_;
    });
  });
}

// Nobody else could win, so waiting for the election timeout would only delay the service. The core
// refuses while membership changes wait to be applied, so this is tried again after each apply.
void Consensus::campaign_if_alone() {
  const raft::ConfState& conf = configurations_.newest();
  bool alone = conf.voters == std::vector{options_.id} && conf.voters_outgoing.empty();
  if (!alone || leader_ != raft::kNobody || applied_.value < state_.committed) return;
  if (absl::Status s = core_->campaign(); !s.ok()) {
    log::warn("cannot campaign", {{"error", message_of(s)}});
  }
}

void Consensus::stop(Task done) {
  post([this, done = std::move(done)]() mutable {
    CHECK(!stopped_);
    stopped_ = true;
    proposals_.fail_all(errors::Stopped());
    reads_.fail_all(errors::Stopped());
    transfers_.fail_all(errors::Stopped());
    done();
  });
}

void Consensus::submit(std::vector<ProposalPtr> proposals, ReadBatch reads) {
  const bool begin_reads = reads.count > 0 && reads_.submit(reads);
  if (proposals.empty() && !begin_reads) return;
  post([this, proposals = std::move(proposals)]() mutable {
    proposals_.add(std::move(proposals));
    if (stopped_) {
      proposals_.fail_all(errors::Stopped());
      return reads_.fail_all(errors::Stopped());
    }
    schedule_flush();
  });
}

void Consensus::receive(std::vector<raft::Message> messages, Task taken) {
  post([this, messages = std::move(messages), taken = std::move(taken)]() mutable {
    for (raft::Message& message : messages) step_received(std::move(message));
    taken();
    schedule_flush();
  });
}

void Consensus::receive(raft::Message message) {
  post([this, message = std::move(message)]() mutable {
    step_received(std::move(message));
    schedule_flush();
  });
}

void Consensus::step_received(raft::Message message) {
  const std::string_view refused = reason_to_drop(message, options_.id);
  if (!refused.empty()) {
    if (take_line(options_.lines, kUsualLine)) {
      log::warn("dropped a message of a peer", {{"type", raft::name_of(message.type)},
                                                {"from", message.from.value},
                                                {"reason", refused}});
    }
    return;
  }
  // Whoever asked asks again.
  if (message.type == raft::MessageType::kMsgReadIndex && is_rash()) return;
  if (relays_.hold(*core_, clock_.now(), message)) return;
  step(std::move(message));
}

// What the core makes of it shows at once.
void Consensus::receive_snapshot(raft::Message message, ReceivedState state) {
  CHECK(!raft::is_empty(message.snapshot));
  CHECK(message.snapshot->metadata.index == state.index);
  post([this, message = std::move(message), state = std::move(state)]() mutable {
    received_ = std::move(state);
    if (!stopped_) {
      step(std::move(message));
      drain_ready();
    }
    drop_received();
  });
}

void Consensus::snapshot_sent(MemberId member, bool arrived) {
  post([this, member, arrived] {
    held_.end(member, arrived, clock_.now());
    core_->report_snapshot(
        member, arrived ? raft::SnapshotStatus::kFinish : raft::SnapshotStatus::kFailure);
    schedule_flush();
  });
}

void Consensus::unreachable(MemberId member) {
  post([this, member] {
    core_->report_unreachable(member);
    schedule_flush();
  });
}

void Consensus::drop_received() {
  if (!received_) return;
  if (take_line(options_.lines, kUsualLine)) {
    log::info("dropped a snapshot that is of no use", {{"index", received_->index.value}});
  }
  doors_.dispose([state = *std::move(received_)] {});
  received_.reset();
}

// The core has taken the snapshot of the message being received.
void Consensus::take_snapshot(const raft::Message& append) {
  CHECK(received_.has_value());
  CHECK(received_->index == append.snapshot->metadata.index);
  CHECK(installing_.empty() || installing_.back().index < received_->index);
  installing_.push_back(*std::move(received_));
  received_.reset();
}

// The log is marked where the snapshot stands: from now on this member starts from it. What the
// state machine was given before comes from earlier in the log.
void Consensus::start_over(const raft::SnapshotMetadata& snapshot) {
  CHECK(!installing_.empty());
  CHECK(installing_.front().index == snapshot.index);
  CHECK(snapshot.index > applied_);
  CHECK(snapshot.index.value <= state_.committed.load(std::memory_order_relaxed));
  KEELSON_FAILPOINT("consensus_start_over");
  CHECK(storage_->start_over(snapshot.index, snapshot.term, snapshot.conf_state).ok());
  terms_ = TermStarts(snapshot.index, snapshot.term);
  configurations_.start_over(snapshot.index, snapshot.conf_state);
  debt_ = LogDebt(options_.debt,
                  {.marked = snapshot.index, .durable = snapshot.index, .applied = snapshot.index});
  debt_.hurry(state_.no_space());
  doors_.apply.install(std::move(installing_.front()));
  installing_.pop_front();
  KEELSON_FAILPOINT("consensus_started_over");
}

// At the end nothing more comes of it: the state of a snapshot that became durable is for the next
// start, which finds it by its mark.
void Consensus::durable(std::vector<raft::Message> appends) {
  post([this, appends = std::move(appends)]() mutable {
    if (stopped_) return;
    log_watch_.durable(appends.size());
    log_moves();
    std::vector<raft::Message> responses;
    for (raft::Message& append : appends) {
      if (!raft::is_empty(append.snapshot)) start_over(append.snapshot->metadata);
      if (!append.entries.empty()) storage_->append(append.entries);
      terms_.note(append.entries);
      if (!append.hard_state().empty()) storage_->set_hard_state(append.hard_state());
      durable_term_ = std::max(durable_term_, append.term);
      CHECK(durable_term_.value <= state_.term.load(std::memory_order_relaxed));
      std::move(append.responses.begin(), append.responses.end(), std::back_inserter(responses));
    }
    step_responses(responses);
    send_votes_that_are_durable();
    schedule_flush();
  });
}

// By then state_.applied may name a later batch, with a membership change that is still on its way
// here.
void Consensus::applied(std::vector<raft::Message> applies, Index index) {
  post([this, applies = std::move(applies), index]() mutable {
    for (raft::Message& apply : applies) step_responses(apply.responses);
    CHECK(applied_ <= index);
    CHECK(index.value <= state_.committed.load(std::memory_order_relaxed));
    applied_ = index;
    proposals_.applied(index);
    trim_storage();
    announce_leadership();
    campaign_if_alone();
    schedule_flush();
  });
}

// Not before everything of earlier terms is applied: until then the leader may not know of a lease
// that was granted or revoked.
void Consensus::announce_leadership() {
  if (!is_leader_ || announced_ || applied_ < terms_.first()) return;
  if (terms_.at(applied_) != standing().term) return;
  CHECK(leader_ == options_.id);
  announced_ = true;
  doors_.leadership_changed(true, standing().term);
}

void Consensus::apply_conf_change(raft::ConfChangeV2 change, Index index) {
  post([this, change = std::move(change), index] {
    // A snapshot that was taken meanwhile brought it, and whatever came after it. The core goes by
    // the snapshot's configuration as soon as it takes it, which is before the log is marked.
    const Index covered = installing_.empty() ? terms_.first() : installing_.back().index;
    if (index < covered) return;
    CHECK(applied_ < index);
    CHECK(index.value <= state_.committed.load(std::memory_order_relaxed));
    configurations_.note(index, core_->apply_conf_change(change));
    schedule_flush();
  });
}

void Consensus::members_changed(std::shared_ptr<const membership::View> members, Index index) {
  post([this, members = std::move(members), index]() mutable {
    members_.note(index, std::move(members));
  });
}

void Consensus::backend_durable(Index index) {
  post([this, index] {
    note_flush();
    debt_.durable(index);
    note_whether_behind();
    mark_when_due();
  });
}

// A mark costs a sync of the log, so not every advance of the store gets one. The entry at the mark
// was applied, so it is durable in the log, and so is the mark's index as its end.
void Consensus::mark_when_due() {
  if (!debt_.should_mark()) return;
  // The mark of a snapshot is on its way and will do.
  if (!installing_.empty()) return;
  const Index index = debt_.mark_index();
  // From before this start, and the store had more then: the membership there is not known.
  if (!configurations_.at(index) || !members_.at(index)) return;
  CHECK(index.value <= state_.committed.load(std::memory_order_relaxed));
  // What was in force at `index` goes into the mark; what was before it is not needed again.
  configurations_.forget_before(index);
  members_.forget_before(index);
  terms_.forget_before(index);
  const raft::SnapshotMetadata mark = metadata_at(index);
  log::info("marking in the log how far the store is durable",
            {{"index", index.value},
             {"term", mark.term.value},
             {"entries-since-last", debt_.unmarked_entries()},
             {"bytes-since-last", debt_.unmarked_bytes()},
             {"entries-not-durable", debt_.unflushed_entries()}});
  doors_.log.mark_snapshot({mark.index, mark.term}, mark.conf_state);
  debt_.mark_asked();
}

// REQUIRES: what was in force at `index` is known.
raft::SnapshotMetadata Consensus::metadata_at(Index index) const {
  const raft::ConfState* conf = configurations_.at(index);
  CHECK(conf != nullptr);
  return {*conf, index, terms_.at(index)};
}

// One that failed is made at a later tick. What was in force at it is known until the next is asked
// for; a snapshot that came meanwhile is behind it in the log, and so is what becomes of that.
void Consensus::marked(bool made) {
  post([this, made] {
    if (!made) return debt_.mark_failed();
    debt_.mark_made();
    const Index index = debt_.marked_index();
    if (doors_.marked) doors_.marked(metadata_at(index), *members_.at(index));
    mark_when_due();
  });
}

void Consensus::space_changed() {
  post([this] {
    const bool is_short = state_.no_space();
    debt_.hurry(is_short);
    note_whether_behind();
    doors_.log.be_frugal(is_short);
    mark_when_due();
    flush_when_due();
  });
}

// What goes to the state machine is what the store may lose until it has flushed.
void Consensus::note_handed(Index last, uint64_t bytes) {
  debt_.handed(last, bytes);
  note_whether_behind();
  flush_when_due();
}

void Consensus::note_whether_behind() {
  const bool behind = debt_.is_over();
  if (state_.store_behind.exchange(behind, std::memory_order_relaxed) || !behind) return;
  log::error("the store does not get durable; refusing requests until it is",
             {{"entries", debt_.unflushed_entries()}, {"bytes", debt_.unflushed_bytes()}});
}

void Consensus::flush_when_due() {
  if (!debt_.should_flush(clock_.now() - flushed_at_ >= options_.debt.flush_pause)) return;
  debt_.flush_asked();
  note_flush();
  log::info("asking the store to flush",
            {{"entries", debt_.unflushed_entries()}, {"bytes", debt_.unflushed_bytes()}});
  doors_.flush_store();
}

// The first flush of a new member has next to nothing in it, and so is no reason to rest.
void Consensus::note_flush() {
  if (debt_.durable_index() > Index(0)) flushed_at_ = clock_.now();
}

void Consensus::store_flushed() {
  post([this] { debt_.flush_over(); });
}

void Consensus::transfer_leader(MemberId to, Duration patience, Transfers::Done done) {
  post([this, to, patience, done = std::move(done)]() mutable {
    if (stopped_) return done(errors::Stopped());
    transfers_.begin(*core_, standing(), to, clock_.now() + patience, std::move(done));
    schedule_flush();
  });
}

void Consensus::with_core(absl::AnyInvocable<void(raft::RawNode&)> task) {
  post([this, task = std::move(task)]() mutable {
    task(*core_);
    schedule_flush();
  });
}

// The flush runs behind whatever is in the inbox now, so all of that goes in before work comes out.
void Consensus::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  post([this] { flush(); });
}

void Consensus::flush() {
  CHECK(flush_scheduled_);
  flush_scheduled_ = false;
  if (stopped_) return;
  proposals_.propose(*core_, standing());
  relays_.release(*core_, clock_.now());
  start_read_round();
  drain_ready();
  // What was committed makes room in the log's window: nobody else may come to say so until it is
  // applied, and the disk would have nothing to do.
  if (proposals_.may_go_on(standing())) schedule_flush();
  check_invariants();
}

// By what the core knows. The member hears of it only with the next work that comes out, and what
// it would ask for as a leader until then, the core would forward to who leads now.
Standing Consensus::standing() const {
  const raft::BasicStatus now = core_->basic_status();
  return {now.soft_state.lead, now.hard_state.term,
          now.soft_state.state == raft::StateType::kLeader};
}

void Consensus::start_read_round() {
  if (!may_read()) return;
  const std::optional<Duration> held = reads_.start(*core_, clock_.now());
  if (!held || std::exchange(read_hold_timed_, true)) return;
  lane_.post_after(*held, [this] {
    read_hold_timed_ = false;
    schedule_flush();
  });
}

bool Consensus::may_read() const {
  if (is_rash()) return false;
  if (!is_leader_) return leader_ != raft::kNobody;
  absl::StatusOr<Term> committed = storage_->term(Index(state_.committed.load()));
  return !committed.ok() || committed->value == state_.term.load();
}

// The core asks nobody where it leads a group of which it is the one voter: it answers a read at
// once, even before the first commit of its term. But after a crash the commit index that the log
// remembers may be older than what was acknowledged, so until then such a read could miss
// acknowledged writes (etcd does not serve clients before). And where this member was removed, the
// voter may lead by now: it need not be asked.
bool Consensus::is_rash() const {
  const raft::ConfState& conf = configurations_.newest();
  if (conf.voters.size() != 1 || !conf.voters_outgoing.empty()) return false;
  const raft::BasicStatus now = core_->basic_status();
  if (now.soft_state.state != raft::StateType::kLeader) return false;
  if (conf.voters.front() != options_.id) return true;
  absl::StatusOr<Term> committed = storage_->term(now.hard_state.commit);
  return committed.ok() && *committed != now.hard_state.term;
}

void Consensus::drain_ready() {
  while (core_->has_ready()) {
    core_->ready(&ready_);
    observe(ready_);
    dispatch(ready_.messages);
    for (const raft::ReadState& state : ready_.read_states) answer_reads(state);
    ready_.clear();
    start_read_round();
    KEELSON_FAILPOINT("consensus_after_ready");
  }
  transfers_.look(*core_, standing(), clock_.now());
}

void Consensus::observe(const raft::Ready& ready) {
  if (!ready.hard_state.empty()) {
    CHECK(ready.hard_state.term.value >= state_.term.load(std::memory_order_relaxed));
    CHECK(ready.hard_state.commit.value >= state_.committed.load(std::memory_order_relaxed));
    state_.term.store(ready.hard_state.term.value, std::memory_order_relaxed);
    CHECK(durable_term_ <= ready.hard_state.term);
    CHECK(applied_ <= ready.hard_state.commit);
    state_.committed.store(ready.hard_state.commit.value, std::memory_order_release);
  }
  if (!ready.soft_state) return;
  heartbeats_.reset();
  MemberId leader = ready.soft_state->lead;
  if (leader != leader_) {
    if (leader != raft::kNobody) state_.leader_changes.fetch_add(1, std::memory_order_relaxed);
    // A read round of the old leader's term may never be answered.
    if (leader_ != raft::kNobody) reads_.fail_round(errors::LeaderChanged());
    leader_ = leader;
    state_.leader.store(leader.value, std::memory_order_release);
    schedule_flush();
  }
  bool is_leader = ready.soft_state->state == raft::StateType::kLeader;
  if (!is_leader) held_.give_up();
  if (std::exchange(is_leader_, is_leader) && !is_leader && std::exchange(announced_, false)) {
    doors_.leadership_changed(false, standing().term);
  }
  proposals_.give_up_lost(clock_.now(), standing());
}

void Consensus::dispatch(std::vector<raft::Message>& messages) {
  std::vector<raft::Message> appends, outgoing;
  for (raft::Message& message : messages) {
    if (message.to == raft::kLocalAppendThread) {
      if (!raft::is_empty(message.snapshot)) take_snapshot(message);
      log_watch_.handed();
      appends.push_back(std::move(message));
    } else if (message.to == raft::kLocalApplyThread) {
      hand_to_apply(std::move(message));
    } else if (message.type == raft::MessageType::kMsgVote && message.term > durable_term_) {
      hold_vote(std::move(message));
    } else if (message.type == raft::MessageType::kMsgSnap) {
      held_.begin(message.to, message.snapshot->metadata.index);
      doors_.apply.send_state(std::move(message));
    } else {
      // A leader that is a quorum together with this member need not ask anybody (raft/reads.h).
      // Who led in a term before is told nothing of this one: a member of etcd would forward what
      // names a term, and end by that.
      if (message.type == raft::MessageType::kMsgReadIndex && message.from == options_.id) {
        const Standing now = standing();
        if (message.to == now.leader) message.term = now.term;
      }
      const bool beats = message.type == raft::MessageType::kMsgHeartbeat;
      if (beats && heartbeats_.is_late(message.to, clock_.now())) ++state_.heartbeats_late;
      outgoing.push_back(std::move(message));
    }
  }
  if (appends.empty()) KEELSON_FAILPOINT("consensus_saves_nothing");
  if (is_leader_) KEELSON_FAILPOINT("consensus_leader_send");
  if (!appends.empty()) doors_.log.append(std::move(appends));
  send(std::move(outgoing));
}

void Consensus::send(std::vector<raft::Message> messages) {
  if (messages.empty() || !doors_.transport) return;
  condense(&messages);
  if (!is_leader_) KEELSON_FAILPOINT("consensus_follower_send");
  doors_.transport->send(std::move(messages));
}

// A campaign that was overtaken by a later one is over.
void Consensus::hold_vote(raft::Message request) {
  if (!votes_.empty() && votes_.front().term != request.term) votes_.clear();
  CHECK(request.term > durable_term_);
  CHECK(request.term.value <= state_.term.load(std::memory_order_relaxed));
  votes_.push_back(std::move(request));
}

void Consensus::send_votes_that_are_durable() {
  if (votes_.empty() || votes_.front().term > durable_term_) return;
  CHECK(votes_.back().term == votes_.front().term);
  send(std::exchange(votes_, {}));
}

void Consensus::hand_to_apply(raft::Message message) {
  CHECK(message.type == raft::MessageType::kMsgStorageApply);
  std::vector<ProposalPtr> waiters(message.entries.size());
  for (size_t i = 0; i < waiters.size() && !proposals_.none_proposed(); ++i) {
    waiters[i] = waiter_of(message.entries[i]);
  }
  uint64_t bytes = 0;
  for (const raft::Entry& entry : message.entries) bytes += size_of(entry);
  const Index last = message.entries.empty() ? Index(0) : message.entries.back().index;
  CHECK(last.value <= state_.committed.load(std::memory_order_relaxed));
  doors_.apply.apply(std::move(message), std::move(waiters));
  note_handed(last, bytes);
}

ProposalPtr Consensus::waiter_of(const raft::Entry& entry) {
  if (entry.data.empty()) return nullptr;
  if (entry.type == raft::EntryType::kNormal) {
    absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
    return request.ok() ? proposals_.take(request->id, entry.index) : nullptr;
  }
  if (entry.type != raft::EntryType::kConfChange) return nullptr;
  absl::StatusOr<raft::ConfChange> change = raft::decode_conf_change(entry.data);
  return change.ok() ? proposals_.take(change->id, entry.index) : nullptr;
}

void Consensus::answer_reads(const raft::ReadState& state) {
  std::vector<ReadBatch> batches = reads_.take(state, clock_.now());
  if (batches.empty()) return;
  if (state.index.value > state_.applied.load(std::memory_order_acquire)) {
    return doors_.apply.when_applied(state.index, std::move(batches));
  }
  for (ReadBatch& batch : batches) batch.gateway->answer_reads(batch, absl::OkStatus());
}

void Consensus::step_responses(std::vector<raft::Message>& responses) {
  std::vector<raft::Message> outgoing;
  for (raft::Message& response : responses) {
    if (response.to == options_.id) {
      step(std::move(response));
    } else {
      outgoing.push_back(std::move(response));
    }
  }
  send(std::move(outgoing));
}

// What the core refuses here is harmless by its contract: a late or misdirected message.
void Consensus::step(raft::Message message) {
  absl::Status status = core_->step(std::move(message));
  if (!status.ok()) log::debug("raft message not taken", {{"error", message_of(status)}});
}

void Consensus::tick() {
  core_->tick();
  watch_log();
  // Again, if one failed.
  flush_when_due();
  mark_when_due();
  proposals_.expire(clock_.now(), standing());
  if (reads_.expire(*core_, clock_.now(), may_read())) {
    state_.slow_read_indexes.fetch_add(1, std::memory_order_relaxed);
  }
  schedule_flush();
}

void Consensus::watch_log() {
  log_watch_.tick();
  if (!log_watch_.stalled()) return;
  if (!state_.log_stalled.exchange(true, std::memory_order_relaxed)) {
    state_.log_stalls.fetch_add(1, std::memory_order_relaxed);
    log::error("the log's device has not completed a write for an election timeout",
               {{"local-member-id", options_.id.value}, {"leader", is_leader_}});
  }
  if (is_leader_ && log_watch_.at_timeout()) yield_leadership();
}

void Consensus::log_moves() {
  if (!log_watch_.stalled()) handed_over_ = false;
  if (log_watch_.stalled() || !state_.log_stalled.exchange(false, std::memory_order_relaxed))
    return;
  log::info("the log's device completes writes again", {{"local-member-id", options_.id.value}});
}

// Those who have stored what this member could not: if they are a quorum, they can elect one of
// them, without a vote of this member, which it could not make durable. If they are not, nobody
// else can lead either, and a leader that is confirmed by a quorum at each read is better than
// none. Who was handed the leadership and has not taken it by the next timeout did not hear of it,
// or the leader did not hear of that one: then whoever finds out that nobody leads is to campaign.
void Consensus::yield_leadership() {
  const raft::Status status = core_->status();
  Index own;
  for (const auto& [id, progress] : status.progress) {
    if (id == options_.id) own = progress.match();
  }
  std::optional<std::pair<Index, MemberId>> best;
  const auto is_ahead = [&](MemberId voter) -> std::optional<bool> {
    for (const auto& [id, progress] : status.progress) {
      if (id != voter || id == options_.id || progress.match() <= own) continue;
      if (!best || best->first < progress.match()) best = {progress.match(), id};
      return true;
    }
    return std::nullopt;
  };
  if (raft::quorum::vote_result(status.config.voters, is_ahead) != raft::quorum::VoteResult::kWon) {
    return;
  }
  CHECK(best.has_value());
  state_.leaderships_yielded.fetch_add(1, std::memory_order_relaxed);
  if (std::exchange(handed_over_, true)) {
    log::warn("stepping down; the log's device still does not complete a write",
              {{"local-member-id", options_.id.value}});
    handed_over_ = false;
    return core_->step_down();
  }
  log::warn("handing the leadership over; the log's device does not complete a write",
            {{"local-member-id", options_.id.value}, {"transferee-member-id", best->second.value}});
  if (status.lead_transferee == raft::kNobody) core_->transfer_leader(best->second);
}

// Keeps some of what is applied for slow followers; a slower one gets a snapshot. A member that is
// alone has nobody to keep it for.
void Consensus::trim_storage() {
  const raft::ConfState& conf = configurations_.newest();
  const size_t members = conf.voters.size() + conf.learners.size() + conf.voters_outgoing.size();
  LogStorage::Keep keep = options_.keep;
  if (members <= 1) {
    keep = {std::min(keep.entries, kAlone.entries), std::min(keep.bytes, kAlone.bytes)};
  }
  if (storage_->bytes() > kMostHeld) held_.give_up();
  storage_->trim(std::min(applied_, held_.needed(clock_.now()).value_or(applied_)), keep);
  CHECK(applied_ <= storage_->last());
}

}  // namespace keelson::node
