#include "server/joining.h"

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/text.h"
#include "membership/version.h"
#include "server/url_match.h"

namespace keelson::server {
namespace {

using membership::Member;
using membership::Version;

// A question that is waited for.
template <typename Value>
class Asked {
 public:
  peer::Done<Value> done() {
    return [promise = promise_](absl::StatusOr<Value> answer) {
      promise->set_value(std::move(answer));
    };
  }
  absl::StatusOr<Value> wait() { return promise_->get_future().get(); }

 private:
  std::shared_ptr<std::promise<absl::StatusOr<Value>>> promise_ =
      std::make_shared<std::promise<absl::StatusOr<Value>>>();
};

std::string hex(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

// The peer URLs of everybody else in --initial-cluster, sorted.
peer::Urls urls_of_others(const Config& config) {
  peer::Urls urls;
  for (const auto& [name, theirs] : membership::parse_initial_cluster(config.initial_cluster)) {
    if (name != config.name) urls.insert(urls.end(), theirs.begin(), theirs.end());
  }
  std::sort(urls.begin(), urls.end());
  return urls;
}

// In the form that Go prints lists in.
std::string listed(const std::vector<std::string>& texts) {
  return cat("[", absl::StrJoin(texts, " "), "]");
}

std::string shown(const peer::RemoteCluster& cluster) {
  std::string members;
  for (const Member& member : cluster.members) {
    members +=
        cat(members.empty() ? "" : " ", "&{ID:", hex(member.id.value),
            " RaftAttributes:{PeerURLs:", listed(member.peer_urls),
            " IsLearner:", member.is_learner ? "true" : "false", "} Attributes:{Name:", member.name,
            " ClientURLs:", listed(member.client_urls), "}}");
  }
  return cat("{ClusterID:", hex(cluster.id.value), " Members:[", members, "] RemovedMemberIDs:[]}");
}

std::optional<std::vector<Url>> parsed(const std::vector<std::string>& texts) {
  std::vector<Url> urls;
  for (const std::string& text : texts) {
    absl::StatusOr<Url> url = parse_url(text);
    if (!url.ok()) return std::nullopt;
    urls.push_back(*std::move(url));
  }
  std::sort(urls.begin(), urls.end());
  return urls;
}

// Empty: the same places.
std::string mismatch(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto x = parsed(a), y = parsed(b);
  if (!x || !y) return "a URL cannot be read";
  return *x == *y ? "" : url_difference(*x, *y);
}

// --initial-cluster's members with the ids that they have in `existing`.
absl::StatusOr<std::vector<Member>> with_ids(const Config& config,
                                             const std::vector<Member>& existing) {
  const membership::PeerUrls local = membership::parse_initial_cluster(config.initial_cluster);
  if (local.size() != existing.size())
    return absl::FailedPreconditionError("member count is unequal");
  std::vector<Member> members;
  for (const Member& member : existing) {
    std::string why;
    auto same = std::find_if(local.begin(), local.end(), [&](const auto& named) {
      why = mismatch(member.peer_urls, named.second);
      return why.empty();
    });
    if (same == local.end()) {
      return absl::FailedPreconditionError(cat("PeerURLs: no match found for existing member (",
                                               hex(member.id.value), ", ", listed(member.peer_urls),
                                               "), last resolver error (", why, ")"));
    }
    members.push_back({.id = member.id,
                       .name = same->first,
                       .peer_urls = same->second,
                       .is_learner = member.is_learner});
  }
  return members;
}

// A downgrade takes a cluster to what this server is only from one above it.
bool is_downgrading(const Config& config, const std::vector<Member>& others, peer::Ask& ask) {
  for (const Member& member : others) {
    Asked<bool> asked;
    ask.downgrade_enabled(member.id, member.peer_urls, config.request_timeout(), asked.done());
    absl::StatusOr<bool> enabled = asked.wait();
    if (enabled.ok()) return *enabled;
    log::warn("failed to get downgrade enabled status", {{"remote-member-id", hex(member.id.value)},
                                                         {"error", message_of(enabled.status())}});
  }
  return false;
}

// At least one other member says that its cluster speaks what this server can, and none that it
// does not.
bool is_compatible(const Config& config, const std::vector<Member>& others, peer::Ask& ask) {
  Version least = membership::kLeastClusterVersion;
  Version most = membership::kOurVersion.release();
  if (is_downgrading(config, others, ask)) {
    ++most.minor;
    least = most;
  }
  bool any = false;
  for (const Member& member : others) {
    Asked<peer::Versions> asked;
    ask.version(member.id, member.peer_urls, config.request_timeout(), asked.done());
    absl::StatusOr<peer::Versions> versions = asked.wait();
    if (!versions.ok()) continue;
    const std::optional<Version> cluster = Version::parse(versions->cluster);
    if (!cluster) {
      log::warn("failed to parse cluster version of remote member",
                {{"remote-member-id", hex(member.id.value)},
                 {"remote-member-cluster-version", versions->cluster}});
      continue;
    }
    if (*cluster < least || *cluster > most) {
      log::warn(cat("cluster version of remote member is not compatible; too ",
                    *cluster < least ? "low" : "high"),
                {{"remote-member-id", hex(member.id.value)},
                 {"remote-member-cluster-version", cluster->str()},
                 {"minimum-cluster-version-supported", least.str()},
                 {"maximum-cluster-version-supported", most.str()}});
      return false;
    }
    any = true;
  }
  return any;
}

}  // namespace

absl::StatusOr<membership::Bootstrap> join_cluster(const Config& config, peer::Ask& ask) {
  Asked<peer::RemoteCluster> asked;
  ask.members(urls_of_others(config), seconds(10), asked.done());
  absl::StatusOr<peer::RemoteCluster> existing = asked.wait();
  if (!existing.ok()) {
    return absl::UnavailableError(
        cat("cannot fetch cluster info from peer urls: could not retrieve cluster information from "
            "the given URLs (",
            message_of(existing.status()), ")"));
  }
  absl::StatusOr<std::vector<Member>> members = with_ids(config, existing->members);
  if (!members.ok()) {
    return absl::FailedPreconditionError(
        cat("error validating peerURLs ", shown(*existing), ": ", message_of(members.status())));
  }
  std::vector<Member> others;
  for (const Member& member : *members) {
    if (member.name != config.name) others.push_back(member);
  }
  if (!is_compatible(config, others, ask)) {
    return absl::FailedPreconditionError("incompatible with current running cluster");
  }
  if (absl::Status s = check_learners(*members, config.max_learners); !s.ok()) return s;
  std::sort(members->begin(), members->end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  return membership::Bootstrap{existing->id, *std::move(members)};
}

absl::Status check_learners(const std::vector<Member>& members, int64_t most) {
  const auto learners = std::count_if(members.begin(), members.end(),
                                      [](const Member& member) { return member.is_learner; });
  if (learners <= most) return absl::OkStatus();
  return absl::FailedPreconditionError("membership: too many learner members in cluster");
}

absl::Status check_not_bootstrapped(const Config& config, peer::Ask& ask) {
  const peer::Urls urls = urls_of_others(config);
  if (urls.empty()) return absl::OkStatus();
  absl::StatusOr<membership::Bootstrap> founded =
      membership::bootstrap(config.initial_cluster, config.initial_cluster_token);
  if (!founded.ok()) return founded.status();
  Asked<peer::RemoteCluster> asked;
  ask.members(urls, seconds(1), asked.done());
  absl::StatusOr<peer::RemoteCluster> existing = asked.wait();
  if (!existing.ok()) return absl::OkStatus();
  for (const Member& self : founded->members) {
    if (self.name != config.name) continue;
    for (const Member& member : existing->members) {
      if (member.id != self.id || member.client_urls.empty()) continue;
      return absl::FailedPreconditionError(
          cat("member ", hex(self.id.value), " has already been bootstrapped"));
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::server
