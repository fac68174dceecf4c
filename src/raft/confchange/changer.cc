#include "raft/confchange/changer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace keelson::raft::confchange {
namespace {

using quorum::IdSet;
using tracker::Config;

absl::Status refuse(std::string_view why) { return absl::InvalidArgumentError(to_absl(why)); }

// A configuration being edited. Voters change in the incoming half only.
class Editor {
 public:
  explicit Editor(const Config& config) : next_{config, {}} {}

  absl::Status apply(std::span<const ConfChangeSingle> changes) {
    for (const ConfChangeSingle& change : changes) {
      // The application blanks the id of a change that it refuses.
      if (change.node_id == kNobody) continue;
      absl::Status status = apply(change);
      if (!status.ok()) return status;
    }
    if (config().voters.incoming.empty()) return refuse("removed all voters");
    return absl::OkStatus();
  }

  Config& config() { return next_.config; }
  Next take() { return std::move(next_); }

 private:
  absl::Status apply(const ConfChangeSingle& change) {
    switch (change.type) {
      case ConfChangeType::kAddNode:
        make_voter(change.node_id);
        return absl::OkStatus();
      case ConfChangeType::kAddLearnerNode:
        make_learner(change.node_id);
        return absl::OkStatus();
      case ConfChangeType::kRemoveNode:
        remove(change.node_id);
        return absl::OkStatus();
      case ConfChangeType::kUpdateNode:
        return absl::OkStatus();
    }
    return refuse(cat("unexpected conf type ", static_cast<uint32_t>(change.type)));
  }

  void make_voter(MemberId id) {
    if (!config().contains(id)) next_.fresh.insert(id);
    config().learners.erase(id);
    config().learners_next.erase(id);
    config().voters.incoming.insert(id);
  }

  // A voter of the outgoing half cannot be a learner yet: it is noted for when that half is left.
  void make_learner(MemberId id) {
    if (config().learners.contains(id)) return;
    if (!config().contains(id)) next_.fresh.insert(id);
    config().voters.incoming.erase(id);
    if (config().voters.outgoing.contains(id)) {
      config().learners_next.insert(id);
    } else {
      config().learners.insert(id);
    }
  }

  void remove(MemberId id) {
    config().voters.incoming.erase(id);
    config().learners.erase(id);
    config().learners_next.erase(id);
    if (!config().contains(id)) next_.fresh.erase(id);
  }

  Next next_;
};

// The number of members in one set but not in the other.
size_t difference(const IdSet& a, const IdSet& b) {
  std::vector<MemberId> out;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out.size();
}

void check(const Config& config) {
  for (MemberId id : config.learners_next) {
    CHECK(config.voters.outgoing.contains(id));
    CHECK(!config.learners.contains(id));
  }
  for (MemberId id : config.learners) CHECK(!config.voters.contains(id));
  if (!config.voters.is_joint()) CHECK(!config.auto_leave);
}

Next checked(Next next) {
  check(next.config);
  return next;
}

std::vector<ConfChangeSingle> each(ConfChangeType type, const std::vector<MemberId>& ids) {
  std::vector<ConfChangeSingle> changes;
  for (MemberId id : ids) changes.push_back({type, id});
  return changes;
}

absl::Status add_one_by_one(Config* config, std::span<const ConfChangeSingle> changes) {
  for (const ConfChangeSingle& change : changes) {
    absl::StatusOr<Next> next = simple(*config, std::span(&change, 1));
    if (!next.ok()) return next.status();
    *config = std::move(next->config);
  }
  return absl::OkStatus();
}

// Rebuilds the configuration by changes that lead to it: first the outgoing voters, one at a time,
// then (jointly, if there are any) the incoming voters and learners in their place.
absl::StatusOr<Config> rebuild(const ConfState& state) {
  Config config;
  absl::Status status =
      add_one_by_one(&config, each(ConfChangeType::kAddNode, state.voters_outgoing));
  if (!status.ok()) return status;

  std::vector<ConfChangeSingle> changes = each(ConfChangeType::kRemoveNode, state.voters_outgoing);
  for (const auto& more : {each(ConfChangeType::kAddNode, state.voters),
                           each(ConfChangeType::kAddLearnerNode, state.learners),
                           each(ConfChangeType::kAddLearnerNode, state.learners_next)}) {
    changes.insert(changes.end(), more.begin(), more.end());
  }
  if (state.voters_outgoing.empty()) {
    status = add_one_by_one(&config, changes);
    if (!status.ok()) return status;
    return config;
  }
  absl::StatusOr<Next> next = enter_joint(config, state.auto_leave, changes);
  if (!next.ok()) return next.status();
  return std::move(next->config);
}

}  // namespace

absl::StatusOr<Next> simple(const Config& config, std::span<const ConfChangeSingle> changes) {
  check(config);
  if (config.voters.is_joint()) return refuse("can't apply simple config change in joint config");
  Editor editor(config);
  absl::Status status = editor.apply(changes);
  if (!status.ok()) return status;
  if (difference(config.voters.incoming, editor.config().voters.incoming) > 1) {
    return refuse("more than one voter changed without entering joint config");
  }
  return checked(editor.take());
}

absl::StatusOr<Next> enter_joint(const Config& config, bool auto_leave,
                                 std::span<const ConfChangeSingle> changes) {
  check(config);
  if (config.voters.is_joint()) return refuse("config is already joint");
  if (config.voters.incoming.empty()) return refuse("can't make a zero-voter config joint");
  Editor editor(config);
  editor.config().voters.outgoing = config.voters.incoming;
  absl::Status status = editor.apply(changes);
  if (!status.ok()) return status;
  editor.config().auto_leave = auto_leave;
  return checked(editor.take());
}

absl::StatusOr<Next> leave_joint(const Config& config) {
  check(config);
  if (!config.voters.is_joint()) return refuse("can't leave a non-joint config");
  Next next{config, {}};
  for (MemberId id : config.learners_next) next.config.learners.insert(id);
  next.config.learners_next.clear();
  next.config.voters.outgoing.clear();
  next.config.auto_leave = false;
  return checked(std::move(next));
}

absl::StatusOr<Next> apply(const Config& config, const ConfChangeV2& change) {
  if (change.leaves_joint()) return leave_joint(config);
  if (auto joint = change.enters_joint()) {
    return enter_joint(config, joint->auto_leave, change.changes);
  }
  return simple(config, change.changes);
}

absl::StatusOr<Config> restore(const ConfState& state) {
  absl::StatusOr<Config> config = rebuild(state);
  if (!config.ok()) return config.status();
  if (!equivalent(state, tracker::conf_state(*config))) {
    return refuse("ConfStates not equivalent after sorting");
  }
  return config;
}

void update_progress(const Next& next, Index last_index, tracker::ProgressMap* progress) {
  std::vector<MemberId> gone;
  for (const auto& [id, one] : *progress) {
    if (!next.config.contains(id)) gone.push_back(id);
  }
  for (MemberId id : gone) progress->erase(id);

  for (MemberId id : next.config.members()) {
    const bool is_learner = next.config.learners.contains(id);
    tracker::Progress* known = progress->find(id);
    if (known && !next.fresh.contains(id)) {
      known->set_learner(is_learner);
      continue;
    }
    // Optimistic: the newcomer probably has no log. Active at first, or a check of the quorum could
    // unseat the leader before the newcomer had a chance to speak.
    progress->put(id,
                  tracker::Progress(Index(0), std::max(last_index, Index(1)), is_learner, true));
  }
}

}  // namespace keelson::raft::confchange
