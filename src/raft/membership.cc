#include "raft/membership.h"

#include <algorithm>
#include <utility>

#include "raft/describe.h"
#include "raft/election.h"
#include "raft/plant.h"
#include "raft/replicate.h"

namespace keelson::raft {
namespace {

bool lists(const ConfState& state, MemberId id) {
  auto in = [id](const std::vector<MemberId>& ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  // Those of learners_next are among voters_outgoing.
  return in(state.voters) || in(state.learners) || in(state.voters_outgoing);
}

// A new quorum may commit more; newcomers need not wait for a heartbeat.
void replicate_to_new_config(Core& core, Leader& leader) {
  if (maybe_commit(core)) {
    broadcast_append(core);
  } else {
    broadcast_entries(core);
  }
  if (!core.config.voters.contains(leader.transferee)) leader.transferee = kNobody;
}

// Terms only rise along a log. No correct leader sends a snapshot that would break that: the state
// machine, and the next leader's entries, could not go on behind it.
bool has_possible_term(const Core& core, const SnapshotMetadata& meta) {
  const Term before = core.log->term(core.log->committed()).value_or(Term(0));
  if (before <= meta.term && meta.term <= core.term) return true;
  core.lines.error(core.options.id, " dropped snapshot [index: ", meta.index, ", term: ", meta.term,
                   "]: not consistent with term ", before, " of what is committed and term ",
                   core.term);
  return false;
}

// Whether there is anything left to do for `snapshot` but to restore it.
bool wants_snapshot(Core& core, const Snapshot& snapshot) {
  const SnapshotMetadata& meta = snapshot.metadata;
  const bool regresses = planted(Plant::kSnapshotRegresses);
  if (meta.index <= core.log->committed() && !regresses) return false;
  if (meta.index.value == kNoLimit) return false;  // nothing could follow it
  if (!has_possible_term(core, meta)) return false;
  if (!lists(meta.conf_state, core.options.id)) {
    core.lines.warning(
        core.options.id, " attempted to restore snapshot but it is not in the ConfState ",
        [&meta] { return describe(meta.conf_state); }, "; should never happen");
    return false;
  }
  if (core.log->matches({meta.term, meta.index}) && !regresses) {
    const EntryId last = core.log->last_id();
    core.lines.info(core.options.id, " [commit: ", core.log->committed(),
                    ", lastindex: ", last.index, ", lastterm: ", last.term,
                    "] fast-forwarded commit to snapshot [index: ", meta.index,
                    ", term: ", meta.term, "]");
    core.log->commit_to(meta.index);
    return false;
  }
  return true;
}

}  // namespace

ConfState apply_conf_change(Core& core, const ConfChangeV2& change) {
  absl::StatusOr<confchange::Next> next = confchange::apply(core.config, change);
  if (next.ok()) return switch_to_config(core, *std::move(next));
  core.lines.panic(message_of(next.status()));
  return tracker::conf_state(core.config);
}

ConfState switch_to_config(Core& core, confchange::Next next) {
  core.config = next.config;
  if (Leader* leader = core.leader()) {
    confchange::update_progress(next, core.log->last_index(), &leader->progress);
  }
  core.lines.info(core.options.id, " switched to configuration ",
                  [&core] { return tracker::to_string(core.config); });
  const ConfState state = tracker::conf_state(core.config);
  Leader* leader = core.leader();
  if (!leader) return state;

  if (!core.config.voters.contains(core.options.id)) {
    // Removed or demoted. Leading on is allowed (the change may still have to be replicated), but
    // only until someone else does.
    if (core.options.step_down_on_removal) become_follower(core, core.term, kNobody);
  } else {
    replicate_to_new_config(core, *leader);
  }
  return state;
}

bool restore_snapshot(Core& core, const SnapshotPtr& snapshot) {
  if (!wants_snapshot(core, *snapshot)) return false;
  const SnapshotMetadata& meta = snapshot->metadata;
  absl::StatusOr<tracker::Config> config = confchange::restore(meta.conf_state);
  if (!config.ok()) {
    core.lines.panic(
        "unable to restore config ", [&meta] { return describe(meta.conf_state); }, ": ",
        message_of(config.status()));
    return false;
  }
  core.log->restore(snapshot);
  switch_to_config(core, {*std::move(config), {}});
  const EntryId last = core.log->last_id();
  core.lines.info(core.options.id, " [commit: ", core.log->committed(), ", lastindex: ", last.index,
                  ", lastterm: ", last.term, "] restored snapshot [index: ", meta.index,
                  ", term: ", meta.term, "]");
  return true;
}

}  // namespace keelson::raft
