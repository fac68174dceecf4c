#include "raft/replicate.h"

#include <algorithm>
#include <utility>

#include "raft/plant.h"
#include "raft/reads.h"
#include "raft/transfer.h"

namespace keelson::raft {
namespace {

using tracker::Progress;

auto text_of(const Progress& progress) {
  return [&progress] { return tracker::to_string(progress); };
}

bool send_snapshot(Core& core, MemberId to, Progress& progress) {
  // To one that is down it would only be lost.
  if (!progress.recent_active()) {
    core.lines.debug("ignore sending snapshot to ", to, " since it is not recently active");
    return false;
  }
  absl::StatusOr<SnapshotPtr> snapshot = core.log->snapshot();
  if (absl::IsUnavailable(snapshot.status())) {
    core.lines.debug(core.options.id, " failed to send snapshot to ", to,
                     " because snapshot is temporarily unavailable");
    return false;
  }
  if (!snapshot.ok() || is_empty(*snapshot)) {
    core.lines.panic(snapshot.ok() ? "need non-empty snapshot" : message_of(snapshot.status()));
    return false;
  }
  const SnapshotMetadata& meta = (*snapshot)->metadata;
  core.lines.debug(core.options.id, " [firstindex: ", core.log->first_index(),
                   ", commit: ", core.log->committed(), "] sent snapshot[index: ", meta.index,
                   ", term: ", meta.term, "] to ", to, " [", text_of(progress), "]");
  progress.become_snapshot(meta.index);
  core.lines.debug(core.options.id, " paused sending replication messages to ", to, " [",
                   text_of(progress), "]");
  Message message{.type = MessageType::kMsgSnap, .to = to};
  message.snapshot = *std::move(snapshot);
  core.send(std::move(message));
  return true;
}

void send_heartbeat(Core& core, MemberId to, Progress& progress, const Bytes& context) {
  // The follower may not hold all that is committed; it must not be told to commit what may differ.
  const Index commit = planted(Plant::kHeartbeatCommit)
                           ? core.log->committed()
                           : std::min(progress.match(), core.log->committed());
  Message message{.type = MessageType::kMsgHeartbeat, .to = to};
  message.commit = commit;
  message.context = context;
  core.send(std::move(message));
  progress.sent_commit(commit);
}

// The follower's log has `log_term` at its hint, and its terms only grow: none of our entries with
// a higher term up to the hint can match, so the next probe starts below them.
Index next_probe(const Core& core, const Message& rejection) {
  if (rejection.log_term == Term(0)) return rejection.reject_hint;
  return core.log->find_conflict_by_term(rejection.reject_hint, rejection.log_term).index;
}

void handle_rejection(Core& core, Progress& progress, const Message& message) {
  core.lines.debug(core.options.id, " received MsgAppResp(rejected, hint: (index ",
                   message.reject_hint, ", term ", message.log_term, ")) from ", message.from,
                   " for index ", message.index);
  if (!progress.maybe_decrease(message.index, next_probe(core, message))) return;
  core.lines.debug(core.options.id, " decreased progress of ", message.from, " to [",
                   text_of(progress), "]");
  if (progress.is_replicate()) progress.become_probe();
  send_append(core, message.from, progress, true);
}

template <typename Acked>
bool commit_with_learners(Core& core, const Acked& acked) {
  quorum::Joint voters = core.config.voters;
  for (MemberId id : core.config.learners) voters.incoming.insert(id);
  return core.log->maybe_commit({core.term, quorum::committed_index(voters, acked)});
}

// The follower holds everything up to `index`; its state may change for the better.
void advance_state(Core& core, Progress& progress, const Message& message) {
  if (progress.is_probe()) {
    progress.become_replicate(limits_of(core));
  } else if (progress.is_replicate()) {
    progress.free_inflights(message.index);
  } else if (progress.match() + 1 >= core.log->first_index()) {
    // It has caught up far enough to go on from our log, whichever snapshot did it.
    core.lines.debug(core.options.id,
                     " recovered from needing snapshot, resumed sending replication messages to ",
                     message.from, " [", text_of(progress), "]");
    progress.become_probe();
    progress.become_replicate(limits_of(core));
  }
}

void handle_acknowledgement(Core& core, Leader& leader, Progress& progress,
                            const Message& message) {
  const MemberId from = message.from;
  const bool news = progress.maybe_update(message.index);
  // An acknowledgement of what we knew still ends a probe.
  if (!news && !(progress.match() == message.index && progress.is_probe())) return;
  advance_state(core, progress, message);

  const bool self = from == core.options.id;
  if (maybe_commit(core)) {
    release_reads(core);
    broadcast_append(core);
  } else if (!self && progress.can_bump_commit(core.log->committed())) {
    // Sooner than the next heartbeat.
    send_append(core, from, progress, true);
  }
  // The window may have opened by several messages.
  if (!self) {
    while (send_append(core, from, progress, false)) {
    }
  }
  if (from == leader.transferee && progress.match() == core.log->last_index()) {
    core.lines.info(core.options.id, " sent MsgTimeoutNow to ", from, " after received MsgAppResp");
    send_timeout_now(core, from);
  }
}

}  // namespace

tracker::Limits limits_of(const Core& core) {
  return {core.options.max_inflight_msgs, core.options.max_inflight_bytes};
}

void broadcast_append(Core& core) {
  for (auto& [id, progress] : core.leader()->progress) {
    if (id != core.options.id) send_append(core, id, progress, true);
  }
}

void broadcast_entries(Core& core) {
  for (auto& [id, progress] : core.leader()->progress) {
    if (id != core.options.id) send_append(core, id, progress, false);
  }
}

void broadcast_heartbeat(Core& core) {
  Leader& leader = *core.leader();
  const std::optional<uint64_t> newest = leader.reads.newest();
  const Bytes context = newest ? encode_read_number(*newest) : Bytes();
  for (auto& [id, progress] : leader.progress) {
    if (id != core.options.id) send_heartbeat(core, id, progress, context);
  }
}

bool send_append(Core& core, MemberId to, Progress& progress, bool if_empty) {
  if (progress.is_paused()) return false;
  const Index prev = progress.next() - 1;
  const std::optional<Term> prev_term = core.log->term(prev);
  if (!prev_term) return send_snapshot(core, to, progress);

  // With a full window an empty append still goes out once in a while; its answer reopens a window
  // whose messages were all lost.
  absl::StatusOr<Entries> entries = Entries();
  if (progress.has_room()) {
    entries = core.log->entries_from(progress.next(), core.options.max_size_per_msg);
  }
  if ((!entries.ok() || entries->empty()) && !if_empty) return false;
  if (!entries.ok()) return send_snapshot(core, to, progress);

  progress.sent_entries(entries->size(), payload_size(*entries));
  progress.sent_commit(core.log->committed());
  Message message{.type = MessageType::kMsgApp, .to = to};
  message.index = prev;
  message.log_term = *prev_term;
  message.commit = core.log->committed();
  message.entries = *std::move(entries);
  core.send(std::move(message));
  return true;
}

bool maybe_commit(Core& core) {
  const Leader& leader = *core.leader();
  const auto acked = [&leader](MemberId id) -> std::optional<Index> {
    const Progress* progress = leader.progress.find(id);
    return progress ? std::optional(progress->match()) : std::nullopt;
  };
  if (planted(Plant::kLearnerCounted)) return commit_with_learners(core, acked);
  const Index reached = quorum::committed_index(core.config.voters, acked);
  if (planted(Plant::kCommitOldTerm)) {
    return core.log->maybe_commit({core.log->term(reached).value_or(Term(0)), reached});
  }
  return core.log->maybe_commit({core.term, reached});
}

void handle_append_response(Core& core, Leader& leader, Progress& progress,
                            const Message& message) {
  progress.set_recent_active(true);
  if (message.reject) {
    handle_rejection(core, progress, message);
  } else if (message.index > core.log->last_index()) {
    // No correct follower holds more than it was sent.
    core.lines.error(core.options.id, " ignored MsgAppResp from ", message.from, " for index ",
                     message.index, " past the last index ", core.log->last_index());
  } else {
    handle_acknowledgement(core, leader, progress, message);
  }
}

void handle_heartbeat_response(Core& core, Progress& progress, const Message& message) {
  progress.set_recent_active(true);
  progress.set_paused(false);
  // Also to one that is probed but has everything: only its answer ends the probing.
  if (progress.match() < core.log->last_index() || progress.is_probe()) {
    send_append(core, message.from, progress, true);
  }
}

void handle_snapshot_status(Core& core, Progress& progress, const Message& message) {
  if (!progress.is_snapshot()) return;
  if (message.reject) {
    progress.snapshot_failed();
  } else {
    progress.become_probe();
  }
  core.lines.debug(core.options.id, " snapshot ", message.reject ? "failed" : "succeeded",
                   ", resumed sending replication messages to ", message.from, " [",
                   text_of(progress), "]");
  // Success: the follower's own acknowledgement comes next. Failure: not again before a heartbeat.
  progress.set_paused(true);
}

void handle_unreachable(Core& core, Progress& progress, const Message& message) {
  // Appends in flight are probably lost.
  if (progress.is_replicate()) progress.become_probe();
  core.lines.debug(core.options.id, " failed to send message to ", message.from,
                   " because it is unreachable [", text_of(progress), "]");
}

}  // namespace keelson::raft
