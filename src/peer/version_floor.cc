#include "peer/version_floor.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/told.h"
#include "peer/round.h"

namespace keelson::peer {

using membership::Version;
using Said = std::vector<std::optional<Version>>;

std::optional<Version> taken_down_to(Version ours, const Said& said, size_t voters) {
  const Version target = membership::downgrade_target(ours);
  const size_t agree = static_cast<size_t>(std::count(said.begin(), said.end(), target));
  if (agree < voters / 2 + 1) return std::nullopt;
  return target;
}

std::string_view VersionFloor::oldest() {
  std::string decided = parts_.answers->cluster_version();
  if (decided != decided_) {
    decided_ = std::move(decided);
    floor_ = std::max(Version::parse(decided_).value_or(membership::kLeastClusterVersion).release(),
                      membership::kLeastClusterVersion);
    text_ = floor_.str();
  }
  CHECK(floor_ >= membership::kLeastClusterVersion);
  return text_;
}

void VersionFloor::refused(const PeerHeaders& headers, const membership::View& members) {
  const MonotonicTime now = parts_.loop->now();
  if (asking_ || now < next_round_) return;
  const std::optional<Older> older = older_member(headers, members);
  if (!older) return;
  next_round_ = now + kPause;
  ask_others(*older, members);
}

std::optional<VersionFloor::Older> VersionFloor::older_member(const PeerHeaders& headers,
                                                              const membership::View& members) {
  const std::optional<uint64_t> from = parse_id(headers.server_from);
  if (!from || !members.find(MemberId(*from))) return std::nullopt;
  const std::optional<Version> version = Version::parse(headers.server_version);
  oldest();
  if (!version || version->release() >= floor_) return std::nullopt;
  return Older{MemberId(*from), std::string(told(headers.server_version))};
}

void VersionFloor::ask_others(const Older& older, const membership::View& members) {
  size_t voters = 0;
  std::vector<const membership::Member*> others;
  for (const membership::Member& member : members.members) {
    if (member.is_learner) continue;
    ++voters;
    if (member.id != parts_.self) others.push_back(&member);
  }
  if (others.empty()) return decide(older, {}, voters);
  asking_ = true;
  auto round = std::make_shared<Round<std::optional<Version>>>(
      others.size(), [this, alive = std::weak_ptr(alive_), older, voters](const Said& said) {
        if (alive.expired()) return;
        asking_ = false;
        decide(older, said, voters);
      });
  for (size_t i = 0; i < others.size(); ++i) {
    parts_.ask->version(others[i]->id, others[i]->peer_urls, parts_.timeout,
                        [round, i](const absl::StatusOr<Versions>& versions) {
                          round->answered(
                              i, versions.ok() ? Version::parse(versions->cluster) : std::nullopt);
                        });
  }
}

void VersionFloor::decide(const Older& older, const Said& said, size_t voters) {
  oldest();
  const std::optional<Version> decided = Version::parse(decided_);
  // The log has told of it meanwhile.
  if (!decided || floor_ != decided->release()) return;
  const std::optional<Version> target = taken_down_to(floor_, said, voters);
  if (!target) {
    if (!take_line(parts_.lines, kUsualLine)) return;
    return log::warn(
        "refused a member whose server is older than the cluster's version; put back its former "
        "server",
        {{"local-member-id", id_text(parts_.self.value)},
         {"remote-peer-id", id_text(older.member.value)},
         {"remote-peer-server-version", older.version},
         {"cluster-version", decided_}});
  }
  floor_ = *target;
  text_ = floor_.str();
  log::info("the cluster was taken down to an older version while this member was away",
            {{"local-member-id", id_text(parts_.self.value)}, {"from", decided_}, {"to", text_}});
}

}  // namespace keelson::peer
