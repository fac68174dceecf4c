#include "sim/releases.h"

#include <algorithm>
#include <optional>

#include "base/protobuf.h"
#include "base/text.h"
#include "membership/member_json.h"
#include "membership/version.h"
#include "proto/membership.pb.h"

namespace keelson::sim {

using membership::Version;
using membership::View;

namespace {

constexpr Duration kPatience = std::chrono::seconds(1);

}  // namespace

void Releases::act() {
  const int member = static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
  if (world_.random().below(3) == 0) return say_another();
  if (!world_.serves(member)) return;
  if (!downgrades_ || world_.random().below(4) == 0) return announce(member);
  downgrade(member);
}

// An entry of etcd's first form, with nothing new in it.
void Releases::announce(int member) {
  const membership::Member* self =
      world_.member(member).node().members().view()->find(world_.id(member));
  if (!self) return;
  enum { kMethod = 2, kPath = 3, kValue = 4 };
  std::string entry;
  pb::append_bytes_field(entry, kMethod, "PUT");
  pb::append_bytes_field(entry, kPath,
                         cat("/0/members/", absl::Hex(self->id.value), "/attributes"));
  pb::append_bytes_field(entry, kValue, membership::member_json(*self));
  world_.member(member).propose(wire::InternalKind::kV2, entry, [](const apply::Reply&) {});
}

void Releases::say_another() {
  constexpr Version kSaid[] = {{3, 5, 17}, {3, 6, 4}, {3, 6, 5}, membership::kOurVersion};
  const int i = static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
  const uint64_t choice = world_.random().below(std::size(kSaid) + 1);
  world_.say_version(i, choice < std::size(kSaid) ? std::optional(kSaid[choice]) : std::nullopt);
}

// As the server admits it: one step down at a time, and none while one is under way. What it saw
// may be over by the time that this is applied.
void Releases::downgrade(int member) {
  const std::shared_ptr<const View> view = world_.member(member).node().members().view();
  const std::optional<Version> now = Version::parse(view->cluster_version);
  if (!now) return;
  if (view->downgrade.enabled) return set_downgrade(member, false, "");
  const Version target = membership::downgrade_target(*now);
  if (target < Version{3, 5, 0}) return;
  set_downgrade(member, true, target.str());
}

void Releases::set_downgrade(int member, bool enabled, const std::string& target) {
  membershippb::DowngradeInfoSetRequest request;
  request.set_enabled(enabled);
  request.set_ver(target);
  if (enabled) world_.downgrade_asked(target);
  world_.member(member).propose(wire::InternalKind::kDowngradeInfoSet, request.SerializeAsString(),
                                [](const apply::Reply&) {});
}

void Releases::end() {
  for (int i = 0; i < world_.size(); ++i) world_.say_version(i, membership::kOurVersion);
}

bool Releases::settled() {
  const int member = world_.most_advanced();
  if (member < 0) return false;
  const std::shared_ptr<const View> view = world_.member(member).node().members().view();
  if (!view->downgrade.enabled) {
    // Who is not there says nothing, and holds it.
    const auto serves = [this](const membership::Member& m) {
      return world_.serves(world_.place_of(m.id));
    };
    if (!std::all_of(view->members.begin(), view->members.end(), serves)) return true;
    return view->cluster_version == membership::kOurVersion.release().str();
  }
  if (!asking_ || world_.now() >= asked_ + kPatience) {
    asking_ = true;
    asked_ = world_.now();
    set_downgrade(member, false, "");
  }
  return false;
}

}  // namespace keelson::sim
