// rpc/lease_keeper.h
//
// LeaseKeeper renews leases and tells their times. Only the leader knows them: its table on the
// apply lane, which this asks when this member leads; otherwise the leader is asked.
//
// Threads: on the lane's loop; `done` too, once.
// Errors: LeaseNotFound; Timeout and NoLeader when there was none to ask; NotLeader and
//   LeaderChanged from the questions that are for this member as the leader.
// Who leads asks a quorum first, as for a read: one that stood still for a while and was followed
//   by another must not tell a client that its lease lives on.

#pragma once

#include "apply/applier.h"
#include "rpc/context.h"
#include "rpc/others.h"

namespace keelson::rpc {

// So many keys, or leases, are sorted and encoded on an io lane; more are for a worker.
inline constexpr size_t kMostOnTheLane = 512;

class LeaseKeeper {
 public:
  template <typename Value>
  using Done = Others::Done<Value>;

  // Outlived by `context`.
  explicit LeaseKeeper(Context& context) : context_(context) {}

  // `done` gets the seconds that it lives from now on.
  void renew(Lane& lane, Origin from, LeaseId id, Done<int64_t> done);
  void times(Lane& lane, Origin from, LeaseId id, bool keys, Done<LeaseTimes> done);

  // As the leader.
  void renew_here(Lane& lane, Origin from, LeaseId id, Done<int64_t> done);
  void times_here(Lane& lane, Origin from, LeaseId id, bool keys, Done<LeaseTimes> done);

 private:
  void renew_at_leader(Lane& lane, Origin from, LeaseId id, Done<int64_t> done);
  void renew_behind_failpoint(Lane& lane, Origin from, LeaseId id, Done<int64_t> done);
  void renew_now(Lane& lane, Origin from, LeaseId id, Done<int64_t> done);
  void clear_checkpoint_then_renew(Lane& lane, Origin from, LeaseId id, Done<int64_t> done);

  Context& context_;
};

}  // namespace keelson::rpc
