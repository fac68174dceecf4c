#include "node/apply_lane.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "node/consensus.h"
#include "node/gateway.h"

namespace keelson::node {

ApplyLane::ApplyLane(Executor& lane, apply::Applier& applier, MemberState& state,
                     Consensus& consensus, Calls calls)
    : lane_(lane),
      applier_(applier),
      state_(state),
      consensus_(consensus),
      calls_(std::move(calls)),
      applied_(applier.applied_index()),
      applied_term_(applier.applied_term()) {
  CHECK(calls_.run_hash != nullptr);
  CHECK(calls_.no_space != nullptr);
  CHECK(calls_.install != nullptr);
  CHECK(calls_.send_state != nullptr);
  CHECK(calls_.stands_at != nullptr);
  CHECK(calls_.fatal != nullptr);
}

void ApplyLane::apply(raft::Message message, std::vector<ProposalPtr> proposals) {
  CHECK(message.entries.size() == proposals.size());
  lane_.post([this, work = Work{std::move(message), std::move(proposals)}]() mutable {
    waiting_.push_back(std::move(work));
    schedule_flush();
  });
}

void ApplyLane::when_applied(Index index, std::vector<ReadBatch> reads) {
  lane_.post([this, index, reads = std::move(reads)]() mutable {
    CHECK(!reads.empty());
    if (left_) {
      for (ReadBatch& batch : reads) batch.gateway->answer_reads(batch, errors::Stopped());
      return;
    }
    // What was applied before a failure is not published, and never will be.
    if (failed_ || index > applied_) {
      reads_.emplace(index, std::move(reads));
      return;
    }
    CHECK(index.value <= state_.applied.load(std::memory_order_relaxed));
    for (ReadBatch& batch : reads) batch.gateway->answer_reads(batch, absl::OkStatus());
  });
}

void ApplyLane::install(ReceivedState state) {
  lane_.post([this, state = std::move(state)]() mutable {
    flush();
    if (is_over()) return;
    CHECK(waiting_.empty());
    CHECK(state.index > applied_);
    CHECK(state.term >= applied_term_);
    CHECK(state.backend != nullptr);
    CHECK(state.store != nullptr);
    const Index index = state.index;
    const Term term = state.term;
    KEELSON_FAILPOINT("apply_before_install");
    state_.installs.store(true, std::memory_order_relaxed);
    if (absl::Status s = calls_.install(std::move(state)); !s.ok()) return fail(std::move(s));
    state_.installs.store(false, std::memory_order_relaxed);
    applied_ = index;
    applied_term_ = term;
    state_.applied.store(applied_.value, std::memory_order_release);
    answer();
    check_invariants();
    consensus_.applied({}, applied_);
    background_step();
  });
}

void ApplyLane::send_state(raft::Message message) {
  lane_.post([this, message = std::move(message)]() mutable {
    flush();
    if (!is_over()) calls_.send_state(std::move(message));
  });
}

void ApplyLane::run(absl::AnyInvocable<void(apply::Applier&)> task) {
  lane_.post([this, task = std::move(task)]() mutable {
    task(applier_);
    background_step();
  });
}

void ApplyLane::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  lane_.post([this] { flush(); });
}

void ApplyLane::flush() {
  flush_scheduled_ = false;
  if (failed_ || waiting_.empty()) return;
  if (left_) return refuse();
  CHECK(answered_.empty());
  KEELSON_FAILPOINT("apply_before_batch");
  std::vector<raft::Message> done;
  done.reserve(waiting_.size());
  for (Work& work : waiting_) {
    apply_work(work);
    if (failed_) return;
    if (left_) return refuse();
    work.message.entries = {};
    done.push_back(std::move(work.message));
  }
  waiting_.clear();
  publish_and_answer();
  if (failed_) return;
  check_invariants();
  consensus_.applied(std::move(done), applied_);
  background_step();
}

// Between two batches.
void ApplyLane::check_invariants() const {
  CHECK(!is_over());
  CHECK(waiting_.empty() || flush_scheduled_);
  CHECK(answered_.empty());
  CHECK(reads_.empty() || reads_.begin()->first > applied_);
  CHECK(state_.applied.load(std::memory_order_relaxed) == applied_.value);
  CHECK(applied_.value <= state_.committed.load(std::memory_order_relaxed));
}

void ApplyLane::apply_work(Work& work) {
  const raft::Entries& entries = work.message.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    const raft::Entry& entry = entries[i];
    if (applier_.given_up()) {
      publish_and_answer();
      left_ = true;
      return;
    }
    CHECK(entry.index == applied_ + 1);
    ProposalPtr& proposal = work.proposals[i];
    const bool normal = entry.type == raft::EntryType::kNormal;
    if (normal) KEELSON_FAILPOINT("apply_entry");
    absl::StatusOr<apply::Reply> reply =
        normal ? applier_.apply(entry, proposal != nullptr, proposal && proposal->hidden)
               : apply_conf_change(entry);
    if (applier_.given_up() && absl::IsCancelled(reply.status())) {
      left_ = true;
      return;
    }
    if (!reply.ok()) return fail(reply.status());
    // The applier has looked at that: the term is of the log, and so of a disk or a peer.
    CHECK(entry.term >= applied_term_);
    applied_ = entry.index;
    applied_term_ = entry.term;
    if (reply->status == errors::NoSpace() && !applier_.alarms().no_space()) calls_.no_space();
    if (proposal) {
      CHECK(proposal->gateway != nullptr);
      proposal->reply = *std::move(reply);
      answered_.push_back(std::move(proposal));
    }
    if (applier_.unpublished_bytes() < kMostUnpublished) continue;
    publish_and_answer();
    if (failed_) return;
  }
  calls_.stands_at(applied_);
}

// Everybody who waits for an answer that the member will not have: it ends.
void ApplyLane::refuse() {
  CHECK(left_);
  for (ProposalPtr& proposal : answered_) proposal->reply = apply::Reply{errors::Stopped()};
  for (Work& work : waiting_) {
    for (ProposalPtr& proposal : work.proposals) {
      if (!proposal) continue;
      proposal->reply = apply::Reply{errors::Stopped()};
      answered_.push_back(std::move(proposal));
    }
  }
  waiting_.clear();
  deliver();
  for (auto& [index, batches] : std::exchange(reads_, {})) {
    for (ReadBatch& batch : batches) batch.gateway->answer_reads(batch, errors::Stopped());
  }
}

absl::StatusOr<apply::Reply> ApplyLane::apply_conf_change(const raft::Entry& entry) {
  KEELSON_FAILPOINT("apply_conf_change");
  absl::StatusOr<apply::ConfChanged> changed = applier_.apply_conf_change(entry);
  if (!changed.ok()) return changed.status();
  if (changed->answer.ok()) calls_.members_changed();
  consensus_.apply_conf_change(std::move(changed->change), entry.index);
  return apply::Reply{std::move(changed->answer)};
}

void ApplyLane::publish_and_answer() {
  publish();
  if (failed_) return;
  KEELSON_FAILPOINT("apply_after_batch");
  // Before the compaction it belongs to removes anything.
  if (auto job = applier_.take_compaction_hash()) calls_.run_hash(std::move(job));
  answer();
}

void ApplyLane::publish() {
  CHECK(!failed_);
  CHECK(state_.applied.load(std::memory_order_relaxed) <= applied_.value);
  calls_.stands_at(applied_);
  if (absl::Status status = applier_.publish(applied_, applied_term_); !status.ok()) {
    return fail(std::move(status));
  }
  state_.applied.store(applied_.value, std::memory_order_release);
}

// Nothing of the batch is published or answered, and nothing later is applied.
void ApplyLane::fail(absl::Status status) {
  CHECK(!failed_);
  CHECK(!status.ok());
  failed_ = true;
  calls_.fatal(std::move(status));
}

void ApplyLane::answer() {
  CHECK(!failed_);
  CHECK(state_.applied.load(std::memory_order_relaxed) == applied_.value);
  deliver();
  while (!reads_.empty() && reads_.begin()->first <= applied_) {
    for (ReadBatch& batch : reads_.begin()->second) {
      batch.gateway->answer_reads(batch, absl::OkStatus());
    }
    reads_.erase(reads_.begin());
  }
}

// Each gateway gets its answers in one piece, in the order they were applied.
void ApplyLane::deliver() {
  while (!answered_.empty()) {
    Gateway* gateway = answered_.front()->gateway;
    auto others = std::stable_partition(
        answered_.begin(), answered_.end(),
        [gateway](const ProposalPtr& proposal) { return proposal->gateway == gateway; });
    std::vector<ProposalPtr> mine(std::make_move_iterator(answered_.begin()),
                                  std::make_move_iterator(others));
    answered_.erase(answered_.begin(), others);
    gateway->deliver(std::move(mine));
  }
}

// Compaction goes on in slices behind whatever waits, so no write waits for more than one slice.
void ApplyLane::background_step(Duration pause) {
  if (is_over() || background_scheduled_ || !applier_.has_background_work()) return;
  CHECK(pause >= Duration(0));
  background_scheduled_ = true;
  auto step = [this] {
    CHECK(background_scheduled_);
    background_scheduled_ = false;
    if (is_over()) return;
    // Between two batches.
    CHECK(waiting_.empty() || flush_scheduled_);
    absl::Status status = applier_.background_step();
    if (!status.ok()) return fail(std::move(status));
    background_step(applier_.background_pause());
  };
  if (pause > Duration(0)) {
    lane_.post_after(pause, std::move(step));
  } else {
    lane_.post(std::move(step));
  }
}

}  // namespace keelson::node
