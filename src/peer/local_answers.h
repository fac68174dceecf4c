// peer/local_answers.h
//
// LocalAnswers is what other members may ask of this one beside raft's messages: what only its node
// knows or only a leader may do. (Who the members are the Network knows itself, from
// set_members().)
//
// Threads: asked on the peer loop; nothing of it may block. `done` is called once, on any thread.
// Errors: base/errors.h; peer/questions.cc turns them into etcd's answers.
// Lifetime: outlives the Network's stop().

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "membership/cluster.h"

namespace keelson::peer {

template <typename Value>
using Done = absl::AnyInvocable<void(absl::StatusOr<Value>)>;

// Of a lease. Seconds.
struct LeaseTimes {
  int64_t remaining = 0;
  int64_t granted = 0;
  std::vector<std::string> keys{};  // if asked for
};

// As HashKVResponse.
struct HashAnswer {
  uint32_t hash = 0;
  int64_t compact_revision = 0;
  int64_t hash_revision = 0;  // the revision that was hashed
  int64_t revision = 0;       // the member's
};

class LocalAnswers {
 public:
  virtual ~LocalAnswers() = default;
  // What the cluster speaks: "3.7.0"; empty while it is not decided.
  virtual std::string cluster_version() = 0;
  // "3.7.0"; empty when it is not known.
  virtual std::string storage_version() = 0;
  // As the leader: makes a learner a voter, and says who the members are then. `token` is who asks,
  // for auth; may be empty. Errors: MemberNotFound, MemberNotLearner, LearnerNotReady, others.
  virtual void promote(MemberId member, std::string token,
                       Done<std::vector<membership::Member>> done) = 0;
  // As the leader, once what it had committed when asked is applied (TimeoutWaitAppliedIndex after
  // a second). `done` gets the time to live in seconds. Errors: LeaseNotFound, NotLeader.
  virtual void renew_lease(LeaseId lease, Done<int64_t> done) = 0;
  // The same.
  virtual void lease_times(LeaseId lease, bool keys, Done<LeaseTimes> done) = 0;
  // The hash of everything up to `revision` (0: the newest). Errors: Compacted, FutureRev.
  virtual void hash_kv(int64_t revision, Done<HashAnswer> done) = 0;
  // Whether a downgrade is under way, as of a linearizable read.
  virtual void downgrade_enabled(Done<bool> done) = 0;
};

}  // namespace keelson::peer
