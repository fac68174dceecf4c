#include "membership/cluster.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "membership/member_json.h"

namespace keelson::membership {
namespace {

using backend::Bucket;

constexpr std::string_view kClusterVersionKey = "clusterVersion";
constexpr std::string_view kDowngradeKey = "downgrade";
constexpr std::string_view kConfStateKey = "confState";
constexpr std::string_view kRemovedMark = "removed";

std::string record_key(MemberId id) { return absl::StrCat(absl::Hex(id.value)); }

std::string hex(ClusterId id) { return absl::StrCat(absl::Hex(id.value)); }

absl::StatusOr<MemberId> parse_record_key(std::string_view key) {
  uint64_t id = 0;
  auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id, 16);
  if (error != std::errc() || end != key.data() + key.size()) {
    return absl::DataLossError(cat("not a member id: ", key));
  }
  return MemberId(id);
}

auto position(View& view, MemberId id) {
  return std::lower_bound(view.members.begin(), view.members.end(), id,
                          [](const Member& member, MemberId id) { return member.id < id; });
}

absl::Status check_urls_free(const View& view, const std::vector<std::string>& urls,
                             MemberId except) {
  for (const Member& member : view.members) {
    if (member.id == except) continue;
    for (const std::string& url : urls) {
      if (std::find(member.peer_urls.begin(), member.peer_urls.end(), url) !=
          member.peer_urls.end()) {
        return errors::PeerURLExist();
      }
    }
  }
  return absl::OkStatus();
}

struct Voters {
  size_t all = 0;
  size_t started = 0;  // <= all
};

Voters voters_of(const View& view, MemberId except = MemberId(0)) {
  Voters out;
  for (const Member& member : view.members) {
    if (member.is_learner || member.id == except) continue;
    ++out.all;
    if (!member.name.empty()) ++out.started;
  }
  return out;
}

bool has_quorum(Voters voters, std::string_view otherwise, LineBudget* lines) {
  const size_t quorum = voters.all / 2 + 1;
  if (voters.started >= quorum) return true;
  if (!take_line(lines, kUsualLine)) return false;
  log::warn(cat(otherwise, "; started member will be less than quorum"),
            {{"number-of-started-member", voters.started}, {"quorum", quorum}});
  return false;
}

absl::Status check_version(std::string_view text) {
  const std::optional<Version> version = Version::parse(text);
  if (!version) return absl::DataLossError(cat("not a version: ", text));
  if (version->release() <= kOurVersion.release()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      cat("invalid downgrade; server version is lower than determined cluster version: ",
          kOurVersion.str(), " < ", version->brief()));
}

// The ids that are the keys of a bucket, sorted.
absl::StatusOr<std::vector<MemberId>> ids_in(const backend::Reader& backend, Bucket bucket) {
  std::vector<MemberId> ids;
  auto records = backend.iterate(bucket);
  for (records->seek_to_first(); records->valid(); records->next()) {
    absl::StatusOr<MemberId> id = parse_record_key(records->key());
    if (!id.ok()) return id.status();
    ids.push_back(*id);
  }
  if (!records->status().ok()) return records->status();
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::StatusOr<std::vector<Member>> members_in(const backend::Reader& backend) {
  std::vector<Member> members;
  auto records = backend.iterate(Bucket::kMembers);
  for (records->seek_to_first(); records->valid(); records->next()) {
    absl::StatusOr<MemberId> id = parse_record_key(records->key());
    if (!id.ok()) return id.status();
    absl::StatusOr<Member> member = parse_member(records->value());
    if (!member.ok()) return member.status();
    member->id = *id;
    members.push_back(*std::move(member));
  }
  if (!records->status().ok()) return records->status();
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  return members;
}

}  // namespace

const Member* View::find(MemberId id) const {
  for (const Member& member : members) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

void tell_added(ClusterId cluster, const Member& member) {
  log::info("added member", {{"cluster-id", hex(cluster)},
                             {"added-peer-id", record_key(member.id)},
                             {"added-peer-peer-urls", absl::StrJoin(member.peer_urls, ",")},
                             {"added-peer-is-learner", member.is_learner}});
}

bool View::is_removed(MemberId id) const {
  return std::binary_search(removed.begin(), removed.end(), id);
}

bool may_add_voter(const View& view, LineBudget* lines) {
  const Voters voters = voters_of(view);
  if (voters.started == 1 && voters.all == 1) return true;
  return has_quorum({voters.all + 1, voters.started}, "rejecting member add", lines);
}

bool may_remove_voter(const View& view, MemberId id, LineBudget* lines) {
  return has_quorum(voters_of(view, id), "rejecting member remove", lines);
}

bool may_promote(const View& view, LineBudget* lines) {
  const Voters voters = voters_of(view);
  return has_quorum({voters.all + 1, voters.started + 1}, "rejecting member promote", lines);
}

Cluster::Cluster(ClusterId id, int64_t max_learners) : max_learners_(max_learners) {
  View view;
  view.cluster = id;
  publish(std::move(view));
}

std::shared_ptr<const View> Cluster::view() const { return std::atomic_load(&view_); }

void Cluster::publish(View next) {
  std::atomic_store(&view_, std::make_shared<const View>(std::move(next)));
}

absl::Status Cluster::restore(const backend::Reader& backend) {
  const std::shared_ptr<const View> before = view();
  View next;
  next.cluster = before->cluster;
  absl::StatusOr<std::vector<Member>> members = members_in(backend);
  if (!members.ok()) return members.status();
  absl::StatusOr<std::vector<MemberId>> removed = ids_in(backend, Bucket::kMembersRemoved);
  if (!removed.ok()) return removed.status();
  std::set_union(removed->begin(), removed->end(), before->removed.begin(), before->removed.end(),
                 std::back_inserter(next.removed));
  for (Member& member : *members) {
    if (!next.is_removed(member.id)) next.members.push_back(std::move(member));
  }
  absl::StatusOr<std::optional<Bytes>> version = backend.get(Bucket::kCluster, kClusterVersionKey);
  if (!version.ok()) return version.status();
  if (*version) {
    next.cluster_version = (*version)->str();
    if (absl::Status s = check_version(next.cluster_version); !s.ok()) return s;
  }
  absl::StatusOr<std::optional<Bytes>> downgrade = backend.get(Bucket::kCluster, kDowngradeKey);
  if (!downgrade.ok()) return downgrade.status();
  if (*downgrade) {
    absl::StatusOr<Downgrade> parsed = parse_downgrade((*downgrade)->view());
    if (!parsed.ok()) return parsed.status();
    next.downgrade = *std::move(parsed);
  }
  publish(std::move(next));
  return absl::OkStatus();
}

absl::Status Cluster::validate(const Change& change) const {
  std::shared_ptr<const View> view = this->view();
  if (view->is_removed(change.member)) return errors::MemberNotFound();
  const Member* known = view->find(change.member);
  switch (change.kind) {
    case ChangeKind::kRemove:
      return known ? absl::OkStatus() : errors::MemberNotFound();
    case ChangeKind::kUpdate: {
      if (!known) return errors::MemberNotFound();
      absl::StatusOr<ChangeContext> context = decode_context(change.context);
      if (!context.ok()) return context.status();
      return check_urls_free(*view, context->member.peer_urls, change.member);
    }
    case ChangeKind::kAdd:
    case ChangeKind::kAddLearner:
      break;
    default:
      return absl::InvalidArgumentError("unknown kind of membership change");
  }
  absl::StatusOr<ChangeContext> context = decode_context(change.context);
  if (!context.ok()) return context.status();
  if (context->is_promote) {
    if (!known) return errors::MemberNotFound();
    return known->is_learner ? absl::OkStatus() : errors::MemberNotLearner();
  }
  if (known) return errors::MemberExist();
  if (change.kind == ChangeKind::kAddLearner && context->member.is_learner) {
    int64_t learners = std::count_if(view->members.begin(), view->members.end(),
                                     [](const Member& m) { return m.is_learner; });
    if (learners + 1 > max_learners_) return errors::TooManyLearners();
  }
  return check_urls_free(*view, context->member.peer_urls, change.member);
}

absl::Status Cluster::apply(const Change& change, backend::WriteBatch& batch) {
  View next = *view();
  auto at = position(next, change.member);
  bool known = at != next.members.end() && at->id == change.member;
  if (change.kind == ChangeKind::kRemove) {
    CHECK(known);
    log::info("removed member", {{"cluster-id", hex(next.cluster)},
                                 {"removed-remote-peer-id", record_key(at->id)},
                                 {"removed-remote-peer-urls", absl::StrJoin(at->peer_urls, ",")},
                                 {"removed-remote-peer-is-learner", at->is_learner}});
    next.members.erase(at);
    next.removed.insert(std::lower_bound(next.removed.begin(), next.removed.end(), change.member),
                        change.member);
    batch.del(Bucket::kMembers, record_key(change.member));
    batch.put(Bucket::kMembersRemoved, record_key(change.member), kRemovedMark);
  } else {
    absl::StatusOr<ChangeContext> context = decode_context(change.context);
    if (!context.ok()) return context.status();
    if (change.kind == ChangeKind::kUpdate) {
      CHECK(known);
      at->peer_urls = context->member.peer_urls;
      log::info("updated member", {{"cluster-id", hex(next.cluster)},
                                   {"updated-remote-peer-id", record_key(at->id)},
                                   {"updated-remote-peer-urls", absl::StrJoin(at->peer_urls, ",")},
                                   {"updated-remote-peer-is-learner", at->is_learner}});
    } else if (context->is_promote) {
      CHECK(known);
      at->is_learner = false;
      log::info("promote member",
                {{"cluster-id", hex(next.cluster)}, {"promoted-member-id", record_key(at->id)}});
    } else {
      CHECK(!known);
      Member added = context->member;
      added.id = change.member;
      at = next.members.insert(at, std::move(added));
      tell_added(next.cluster, *at);
    }
    batch.put(Bucket::kMembers, record_key(change.member), member_json(*at));
  }
  save_conf_state(next, batch);
  publish(std::move(next));
  return absl::OkStatus();
}

void Cluster::set_attributes(MemberId id, std::string_view name,
                             std::vector<std::string> client_urls, backend::WriteBatch& batch) {
  View next = *view();
  auto at = position(next, id);
  if (at == next.members.end() || at->id != id) {
    log::warn("skipped attributes update of removed member", {{"updated-peer-id", record_key(id)}});
    return;
  }
  at->name = name;
  at->client_urls = std::move(client_urls);
  batch.put(Bucket::kMembers, record_key(id), member_json(*at));
  publish(std::move(next));
}

absl::Status Cluster::set_version(std::string_view version, backend::WriteBatch& batch) {
  if (absl::Status s = check_version(version); !s.ok()) return s;
  View next = *view();
  if (next.cluster_version.empty()) {
    log::info("set initial cluster version", {{"cluster-version", version}});
  } else {
    log::info("updated cluster version", {{"from", next.cluster_version}, {"to", version}});
  }
  next.cluster_version = version;
  batch.put(Bucket::kCluster, kClusterVersionKey, version);
  publish(std::move(next));
  return absl::OkStatus();
}

void Cluster::set_downgrade(bool enabled, std::string_view target, backend::WriteBatch& batch) {
  View next = *view();
  next.downgrade = {enabled, enabled ? std::string(target) : std::string()};
  batch.put(Bucket::kCluster, kDowngradeKey, downgrade_json(next.downgrade));
  publish(std::move(next));
}

// etcd changes one member at a time, so the configuration is never joint here.
void Cluster::save_conf_state(const View& view, backend::WriteBatch& batch) const {
  std::vector<MemberId> voters, learners;
  for (const Member& member : view.members) {
    (member.is_learner ? learners : voters).push_back(member.id);
  }
  batch.put(Bucket::kMeta, kConfStateKey, conf_state_json(voters, learners));
}

}  // namespace keelson::membership
