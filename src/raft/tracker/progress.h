// raft/tracker/progress.h
//
// Progress: what the leader knows about one member, and how it replicates to it.
//
//   Probe      the match point is unknown: one append at a time
//   Replicate  the steady state: appends are pipelined within the in-flight window
//   Snapshot   needs entries that the log no longer has: nothing but the snapshot is sent
//
// Owned by the leader's role state; a member that is not leader has none.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "raft/tracker/inflights.h"

namespace keelson::raft::tracker {

struct Probe {
  // An append is out (or a snapshot just failed); wait for an answer or a heartbeat's.
  bool paused = false;
};

struct Replicate {
  Inflights inflights;
  // The window is full; one empty append per heartbeat keeps it from stalling forever.
  bool paused = false;
};

struct SnapshotSent {
  // The index of the snapshot that was sent; 0 once it is reported failed.
  Index pending;
};

struct Limits {
  int max_inflight_msgs = 256;
  uint64_t max_inflight_bytes = 0;
};

class Progress {
 public:
  Progress(Index match, Index next, bool is_learner, bool recent_active)
      : match_(match), next_(next), is_learner_(is_learner), recent_active_(recent_active) {}

  Index match() const { return match_; }
  Index next() const { return next_; }
  bool is_learner() const { return is_learner_; }
  void set_learner(bool learner) { is_learner_ = learner; }
  bool recent_active() const { return recent_active_; }
  void set_recent_active(bool active) { recent_active_ = active; }

  bool is_probe() const { return std::holds_alternative<Probe>(state_); }
  bool is_replicate() const { return std::holds_alternative<Replicate>(state_); }
  bool is_snapshot() const { return std::holds_alternative<SnapshotSent>(state_); }
  std::string_view state_name() const;
  // 0 unless in Snapshot.
  Index pending_snapshot() const;
  // Null unless in Replicate.
  const Inflights* inflights() const;

  // Back to finding the match point; after a snapshot, from its end.
  void become_probe();
  void become_replicate(const Limits& limits);
  void become_snapshot(Index snapshot_index);
  // The pending snapshot never arrived. Back to Probe from the match point.
  void snapshot_failed();

  // Whether no entries may be sent now.
  bool is_paused() const;
  // No effect in Snapshot.
  void set_paused(bool paused);
  // Whether another append with entries fits; false only in Replicate with a full window.
  bool has_room() const;

  // An append with `entries` entries of `bytes` payload bytes leaves. REQUIRES: not in Snapshot.
  void sent_entries(size_t entries, uint64_t bytes);
  // An announcement of the commit index leaves.
  void sent_commit(Index commit) { sent_commit_ = commit; }
  // Whether announcing `commit` could still move the follower's.
  bool can_bump_commit(Index commit) const {
    return commit > sent_commit_ && sent_commit_ < next_ - 1;
  }

  // The follower holds everything up to `index`. False if that is old news.
  bool maybe_update(Index index);
  // The follower refused an append after `rejected`; try after `hint`. False if stale.
  bool maybe_decrease(Index rejected, Index hint);
  // Everything up to `index` arrived. No effect but in Replicate.
  void free_inflights(Index index);

  void check_invariants() const;

 private:
  // The follower's log agrees with ours up to here.
  Index match_;
  // The next entry to send; those between are in flight. Invariant: match_ < next_.
  Index next_;
  // The highest commit index announced; lowered when a loss is likely.
  Index sent_commit_;
  bool is_learner_;
  // Something came from it since the last check of the quorum. Always true of the leader itself.
  bool recent_active_;
  std::variant<Probe, Replicate, SnapshotSent> state_;
};

// "StateReplicate match=11 next=15 paused inflight=3[full]".
std::string to_string(const Progress& progress);

// The members' progress, sorted by id. Groups are small: a vector beats a tree.
class ProgressMap {
 public:
  using Item = std::pair<MemberId, Progress>;

  Progress* find(MemberId id);
  const Progress* find(MemberId id) const;
  // Replaces what was there.
  Progress& put(MemberId id, Progress progress);
  void erase(MemberId id);
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<Item> items_;  // ids strictly increasing
};

// One "id: progress" line per member.
std::string to_string(const ProgressMap& progress);

}  // namespace keelson::raft::tracker
