// sim/admin.h
//
// Admin changes who the members are, one change after the other and each until it is there: adds
// voters and learners, promotes, removes, replaces a member whose disk is gone; and hands the
// leadership over. As a careful operator it never leaves less than a majority of the voters that
// can be started again.
//
// Threads: one.

#pragma once

#include <map>
#include <optional>
#include <utility>

#include "membership/cluster.h"
#include "raft/conf_change.h"
#include "sim/world.h"

namespace keelson::sim {

class Admin {
 public:
  Admin(World& world, int founders);

  // A step on the way of a change, or a new one.
  void act();
  // Whether the cluster serves on without the disk of this member, which is gone then.
  bool may_lose(int i) const;
  // The member of this place is, or may be, one of the cluster.
  bool is_member(int i) const;
  bool is_learner(int i) const;
  // Whether a process of it may be started: the cluster knows of it.
  bool may_start(int i) const;
  uint64_t changes() const { return changes_; }
  // The member that was added last, once; -1: none was.
  int take_newcomer() { return std::exchange(newcomer_, -1); }
  // No change is under way.
  bool settled() const { return !wanted_; }
  // Goes on with the one under way, if any.
  void finish();

 private:
  enum class Kind : uint8_t { kAdd, kAddLearner, kPromote, kRemove };
  struct Wanted {
    Kind kind;
    int place;
  };
  static constexpr int kMostMembers = 7, kMostLearners = 2, kMostPlaces = 12;

  void choose();
  void propose();
  bool want(Kind kind, int place);
  bool want_to_add();
  bool want_to_remove();
  bool want_to_promote();
  void transfer();
  bool is_made() const;
  void note_made();
  bool can_go_on(int without) const;
  bool knows_all(int place) const;
  int learners() const;
  raft::ConfChange change() const;

  World& world_;
  // Some clusters have as many members that only learn as may be, for as long as they last.
  const bool keeps_learners_;
  std::map<int, bool> members_;  // by place: whether it learns
  std::optional<Wanted> wanted_;
  bool asking_ = false;
  MonotonicTime asked_;
  uint64_t changes_ = 0;
  int newcomer_ = -1;
};

}  // namespace keelson::sim
