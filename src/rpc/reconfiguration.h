// rpc/reconfiguration.h
//
// Reconfiguration makes changes of the membership for whoever asks, clients or another member: the
// checks ahead of the log, the proposal, and what the members are afterwards.
//
// With --strict-reconfig-check (the default) a change is refused that would leave no quorum of
// members that have started, or of those that this member has been hearing of for five seconds.
// Shares: of `from`, what it takes at this member; {} for what a peer asks in its clients' name.
// Threads: on the lane's loop; `done` too, once.
// Errors: etcd's: MemberNotEnoughStarted, Unhealthy, MemberExist, PeerURLExist, MemberNotFound,
//   MemberNotLearner, TooManyLearners, LearnerNotReady; those of a proposal.
// Source: etcd v3.7.1, server/etcdserver/server.go (mayAddMember and its like).

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "membership/cluster.h"
#include "rpc/context.h"
#include "rpc/others.h"

namespace keelson::rpc {

class Reconfiguration {
 public:
  using Members = std::vector<membership::Member>;
  using Done = Others::Done<Members>;

  // Outlived by `context`.
  explicit Reconfiguration(Context& context) : context_(context) {}

  void add(Lane& lane, Origin from, const membership::Member& member, Done done);
  void remove(Lane& lane, Origin from, MemberId id, Done done);
  void update(Lane& lane, Origin from, MemberId id, std::vector<std::string> peer_urls, Done done);
  // A learner that has all but a tenth of what the leader has becomes a voter. The leader knows,
  // and does it, wherever this is asked; it is shown the `token` of who asks, which may be empty.
  void promote(Lane& lane, Origin from, MemberId id, std::string token, Done done);
  // The same as the leader, or NotLeader.
  void promote_here(Lane& lane, Origin from, MemberId id, Done done);

 private:
  absl::Status may_add(const membership::Member& member) const;
  absl::Status may_remove(MemberId id) const;
  size_t connected(const membership::View& view) const;
  void propose(Lane& lane, Origin from, raft::ConfChange change, Done done);
  void judge_progress(Lane& lane, Origin from, MemberId id,
                      absl::AnyInvocable<void(absl::Status)> done);

  Context& context_;
};

}  // namespace keelson::rpc
