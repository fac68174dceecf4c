// rpc/others.h
//
// Others is what a member asks of the other members on behalf of its clients: what only the leader
// knows or may do. The server asks over the network (peer/ask.h); a member that has no peers has
// none of it.
//
// Threads: any. `done` is called once, on any thread, but for what is under way when the server
//   stops: that is never answered.
// Errors: base/errors.h for answers that say no; others when nobody answered.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "lease/leased_keys.h"
#include "membership/cluster.h"

namespace keelson::rpc {

// Of a lease. Seconds.
struct LeaseTimes {
  int64_t remaining = 0;
  int64_t granted = 0;
  lease::KeyListing keys{};  // if asked for
};

class Others {
 public:
  template <typename Value>
  using Done = absl::AnyInvocable<void(absl::StatusOr<Value>)>;
  using Members = std::vector<membership::Member>;

  virtual ~Others() = default;

  // Since when `member` has been heard of without a break; nothing: it is not now.
  virtual std::optional<MonotonicTime> active_since(MemberId member) const = 0;

  // To the leader, at its peer URLs, in the name of whose `token` it is (auth; may be empty).
  // Answers that say no: MemberNotFound, MemberNotLearner, LearnerNotReady.
  virtual void promote(MemberId member, std::string token, const membership::Member& leader,
                       Duration timeout, Done<Members> done) = 0;
  // An answer that says no: LeaseNotFound. Seconds.
  virtual void renew_lease(LeaseId lease, const membership::Member& leader, Duration timeout,
                           Done<int64_t> done) = 0;
  virtual void lease_times(LeaseId lease, bool keys, const membership::Member& leader,
                           Duration timeout, Done<LeaseTimes> done) = 0;
};

}  // namespace keelson::rpc
