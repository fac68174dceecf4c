// peer/version_floor.h
//
// VersionFloor is the oldest release of etcd that may take part: what the cluster speaks. An older
// server would carry out what the others refuse, and hold other data than they, so nothing is
// taken from it; what goes to it says in X-Min-Cluster-Version that it must not take that either,
// which every release of etcd 3 heeds.
//
// etcd leaves this to the older server, which ends when its own directory says that the cluster is
// newer. One that was made for it (keelutl export) does not say so.
//
// A member that was away when its cluster was taken down a version would refuse everybody whom it
// has to hear of that from. So whenever somebody is refused, the other voters are asked what the
// cluster speaks: if a quorum names the version that a downgrade from ours leads to, then that is
// the floor, until the log says something else. In doubt the older server stays outside.
//
// Threads: the peer loop. Lifetime: answers, ask, loop and lines outlive it.
// Bounds: one round of questions, to members only, in kPause.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/line_budget.h"
#include "membership/cluster.h"
#include "membership/version.h"
#include "net/loop.h"
#include "peer/ask.h"
#include "peer/headers.h"
#include "peer/local_answers.h"

namespace keelson::peer {

// The version that a cluster of `voters` voters was taken down to from `ours`, by what other voters
// say that it speaks; nothing: it was not, or that cannot be told.
std::optional<membership::Version> taken_down_to(
    membership::Version ours, const std::vector<std::optional<membership::Version>>& said,
    size_t voters);

class VersionFloor {
 public:
  struct Parts {
    net::Loop* loop;
    LocalAnswers* answers;
    Ask* ask;
    LineBudget* lines;
    MemberId self;
    Duration timeout;  // for each question
  };
  explicit VersionFloor(const Parts& parts) : parts_(parts) {}

  // "3.7.0"; "3.0.0" while the cluster's version is not known. Lives until the next call.
  std::string_view oldest();
  // Somebody was refused: perhaps a member, and for its version.
  void refused(const PeerHeaders& headers, const membership::View& members);

 private:
  static constexpr Duration kPause = std::chrono::seconds(5);

  struct Older {
    MemberId member;
    std::string version;
  };
  std::optional<Older> older_member(const PeerHeaders& headers, const membership::View& members);
  void ask_others(const Older& older, const membership::View& members);
  void decide(const Older& older, const std::vector<std::optional<membership::Version>>& said,
              size_t voters);

  const Parts parts_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  std::string decided_;  // what the log said when asked last
  membership::Version floor_ = membership::kLeastClusterVersion;  // of decided_, or one below
  std::string text_ = floor_.str();
  bool asking_ = false;
  MonotonicTime next_round_{};
};

}  // namespace keelson::peer
