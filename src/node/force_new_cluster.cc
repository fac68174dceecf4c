#include "node/force_new_cluster.h"

#include <map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "raft/conf_change.h"

namespace keelson::node {
namespace {

using raft::ConfChangeType;

// Who learns and who votes, with all that is in the log up to `last`.
using Standings = std::map<MemberId, bool>;

absl::StatusOr<Standings> standings(const backend::Backend& backend, const Recovered& found,
                                    Index last) {
  membership::Cluster members(found.cluster);
  if (absl::Status s = members.restore(backend); !s.ok()) return s;
  Standings learns;
  for (const membership::Member& member : members.view()->members) {
    learns[member.id] = member.is_learner;
  }
  if (found.applied == last) return learns;
  absl::StatusOr<raft::Entries> entries =
      found.storage->entries(found.applied + 1, last + 1, raft::kNoLimit);
  if (!entries.ok()) return entries.status();
  for (const raft::Entry& entry : *entries) {
    if (!raft::is_conf_change(entry.type)) continue;
    absl::StatusOr<raft::ConfChangeV2> change = raft::conf_change_of(entry);
    if (!change.ok()) return change.status();
    for (const raft::ConfChangeSingle& one : change->changes) {
      if (one.type == ConfChangeType::kRemoveNode) {
        learns.erase(one.node_id);
      } else if (one.type != ConfChangeType::kUpdateNode) {
        learns[one.node_id] = one.type == ConfChangeType::kAddLearnerNode;
      }
    }
  }
  return learns;
}

// This member first: raft knows no group without a voter.
std::vector<raft::ConfChange> changes_to(MemberId self, const Standings& learns) {
  std::vector<raft::ConfChange> changes;
  auto own = learns.find(self);
  if (own == learns.end()) {
    const membership::Member member{.id = self, .peer_urls = {"http://localhost:2380"}};
    changes.push_back({.type = ConfChangeType::kAddNode,
                       .node_id = self,
                       .context = membership::encode_context(member)});
  } else if (own->second) {
    changes.push_back({.type = ConfChangeType::kAddNode,
                       .node_id = self,
                       .context = membership::encode_promotion(self)});
  }
  for (const auto& [id, learner] : learns) {
    if (id != self) changes.push_back({.type = ConfChangeType::kRemoveNode, .node_id = id});
  }
  return changes;
}

}  // namespace

absl::Status force_new_cluster(const backend::Backend& backend, Recovered* found,
                               raft::HardState* state) {
  CHECK(found->applied <= state->commit);
  CHECK(state->commit <= found->storage->last());
  const Index committed = state->commit, last = found->storage->last();
  absl::StatusOr<Standings> learns = standings(backend, *found, last);
  if (!learns.ok()) return learns.status();
  std::vector<raft::Entry> entries;
  for (const raft::ConfChange& change : changes_to(found->member, *learns)) {
    entries.push_back(raft::Entry{.type = raft::EntryType::kConfChange,
                                  .term = state->term,
                                  .index = last + 1 + entries.size(),
                                  .data = raft::encode(change)});
  }
  state->commit = entries.empty() ? last : entries.back().index;
  CHECK(committed <= state->commit);
  if (state->commit > committed) {
    if (absl::Status s = found->wal->append(*state, entries); !s.ok()) return s;
    if (absl::Status s = found->wal->sync(); !s.ok()) return s;
    if (!entries.empty()) found->storage->append(raft::Entries(std::move(entries)));
    CHECK(found->storage->last() == state->commit);
  }
  log::warn("forcing restart member", {{"cluster-id", found->cluster.value},
                                       {"local-member-id", found->member.value},
                                       {"wal-commit-index", committed.value},
                                       {"commit-index", state->commit.value}});
  return absl::OkStatus();
}

}  // namespace keelson::node
