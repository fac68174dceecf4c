// peer/ask.h
//
// Ask puts questions to other members at their peer URLs, beside raft's messages: who the members
// are, their versions, and what only a leader may do.
//
// Each question goes to the URLs in their order until one of them answers; an answer that says no
// is one where the header of the method says so. Redirects are not followed.
// Threads: any. `done` is called once, on the peer loop, and must be brief; never from inside.
// Time: `timeout` is for each URL of members(), version() and downgrade_enabled(), as in etcd, and
//   for all of them together otherwise.
// Errors: of the last URL; Unavailable if there is none.
// Lifetime: what is not answered when the Network stops is never answered.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "membership/cluster.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "peer/local_answers.h"

namespace keelson::peer {

using Urls = std::vector<std::string>;

struct RemoteCluster {
  ClusterId id{};
  std::vector<membership::Member> members{};  // never empty
};

// What /version says; "not_decided" and "unknown" as they are.
struct Versions {
  std::string server{};
  std::string cluster{};
  std::string storage{};  // empty: a member older than 3.6
};

class Ask {
 public:
  // `client` lives on `loop` and is used there only; questions after its end are not answered.
  Ask(net::Loop* loop, std::weak_ptr<net::HttpClient> client)
      : loop_(*loop), client_(std::move(client)) {}

  // Who the members of the cluster at these URLs are. Whoever answers first counts.
  void members(Urls urls, Duration timeout, Done<RemoteCluster> done);
  // `member` is for the log.
  void version(MemberId member, Urls urls, Duration timeout, Done<Versions> done);
  void downgrade_enabled(MemberId member, Urls urls, Duration timeout, Done<bool> done);
  // Errors that are answers: Compacted, FutureRev, ClusterIDMismatch.
  void hash_kv(ClusterId cluster, Urls urls, int64_t revision, Duration timeout,
               Done<HashAnswer> done);

  // To the leader. Errors that are answers: MemberNotFound, MemberNotLearner, LearnerNotReady;
  // Timeout when the leader says so.
  void promote(MemberId member, std::string token, Urls urls, Duration timeout,
               Done<std::vector<membership::Member>> done);
  // To the leader. An error that is an answer: LeaseNotFound.
  void renew_lease(LeaseId lease, Urls urls, Duration timeout, Done<int64_t> done);
  void lease_times(LeaseId lease, bool keys, Urls urls, Duration timeout, Done<LeaseTimes> done);

 private:
  net::Loop& loop_;
  const std::weak_ptr<net::HttpClient> client_;  // the Network's
};

}  // namespace keelson::peer
