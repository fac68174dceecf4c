#include "node/versions.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "proto/membership.pb.h"

namespace keelson::node {

using membership::Version;
using membership::View;

Versions::Versions(Executor& lane, const membership::Cluster& members, MemberId self,
                   Options options, Propose propose)
    : lane_(lane),
      members_(members),
      self_(self),
      options_(options),
      propose_(std::move(propose)) {}

void Versions::lead(MonotonicTime now) {
  CHECK(!leading_);
  leading_ = true;
  asked_ = Version();
  next_version_ = now;
  next_downgrade_ = now + options_.downgrade_interval;
  look(now);
}

void Versions::follow() {
  CHECK(leading_);
  leading_ = false;
}

void Versions::look(MonotonicTime now) {
  if (!leading_ || busy_) return;
  if (now >= next_version_) {
    next_version_ = now + options_.interval;
    return ask([this](const List& servers) { decide_version(servers); });
  }
  if (options_.downgrade_interval <= Duration(0) || now < next_downgrade_) return;
  next_downgrade_ = now + options_.downgrade_interval;
  if (!members_.view()->downgrade.enabled) return;
  ask([this](const List& servers) { end_downgrade(servers); });
}

// The versions of all members, this one's among them.
void Versions::ask(std::function<void(const List&)> then) {
  std::vector<membership::Member> others;
  for (const membership::Member& member : members_.view()->members) {
    if (member.id != self_) others.push_back(member);
  }
  if (others.empty() || !ask_) {
    return then(List(others.size() + 1, membership::kOurVersion));
  }
  CHECK(!busy_);
  busy_ = true;
  ask_(std::move(others), [this, then = std::move(then)](List servers) mutable {
    lane_.post([this, then = std::move(then), servers = std::move(servers)]() mutable {
      CHECK(busy_);
      busy_ = false;
      servers.push_back(membership::kOurVersion);
      if (leading_) then(servers);
    });
  });
}

void Versions::decide_version(const List& servers) {
  const std::shared_ptr<const View> view = members_.view();
  std::optional<Version> next = membership::next_cluster_version(
      Version::parse(view->cluster_version), membership::least_version(servers), view->downgrade);
  // Newer members than this one may have set what it does not reach; then it has ended by now.
  if (!next || next->release() > membership::kOurVersion.release()) return;
  // One that was asked for and timed out may still come, ahead of this one: nobody goes back behind
  // it, but the first version of all is asked for once more.
  if (!view->downgrade.enabled) {
    if (view->cluster_version.empty()) next = std::max(asked_, *next);
    if (*next < asked_) return;
    asked_ = *next;
  }
  if (view->cluster_version.empty()) {
    log::info("setting up initial cluster version using v3 API",
              {{"cluster-version", next->brief()}});
  } else {
    log::info("updating cluster version using v3 API",
              {{"from", view->cluster_version}, {"to", next->brief()}});
  }
  membershippb::ClusterVersionSetRequest request;
  request.set_ver(next->str());
  propose(wire::InternalKind::kClusterVersionSet, request.SerializeAsString());
}

void Versions::end_downgrade(const List& servers) {
  const std::shared_ptr<const View> view = members_.view();
  if (!membership::is_downgraded(servers, view->downgrade)) return;
  log::info("the cluster has been downgraded", {{"cluster-version", view->downgrade.target}});
  membershippb::DowngradeInfoSetRequest request;
  request.set_enabled(false);
  propose(wire::InternalKind::kDowngradeInfoSet, request.SerializeAsString());
}

void Versions::propose(wire::InternalKind kind, std::string request) {
  CHECK(!busy_);
  busy_ = true;
  propose_(kind, std::move(request), [this](absl::Status) {
    CHECK(busy_);
    busy_ = false;
  });
}

}  // namespace keelson::node
