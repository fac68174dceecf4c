#include "sim/admin.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace keelson::sim {
namespace {

constexpr Duration kPatience = std::chrono::seconds(1);

}  // namespace

Admin::Admin(World& world, int founders)
    : world_(world), keeps_learners_(world.random().below(4) == 0) {
  for (int i = 0; i < founders; ++i) members_[i] = false;
}

bool Admin::is_member(int i) const {
  return members_.contains(i) ||
         (wanted_ && wanted_->place == i && world_.life(i) != World::Life::kWaits);
}

bool Admin::is_learner(int i) const {
  auto found = members_.find(i);
  return found != members_.end() && found->second;
}

bool Admin::may_start(int i) const {
  return world_.life(i) == World::Life::kDown ||
         (world_.life(i) == World::Life::kWaits && members_.contains(i));
}

void Admin::finish() {
  if (wanted_ && is_made()) note_made();
  if (wanted_) propose();
}

void Admin::act() {
  finish();
  if (wanted_) return;
  if (world_.random().below(3) == 0) return transfer();
  choose();
}

void Admin::choose() {
  if (keeps_learners_ && learners() < kMostLearners) {
    want_to_add();
    if (wanted_) propose();
    return;
  }
  switch (world_.random().below(5)) {
    case 0:
    case 1:
      want_to_add();
      break;
    case 2:
    case 3:
      want_to_remove();
      break;
    default:
      want_to_promote();
  }
  if (wanted_) propose();
}

bool Admin::want(Kind kind, int place) {
  wanted_ = {kind, place};
  asking_ = false;
  return true;
}

bool Admin::want_to_add() {
  if (static_cast<int>(members_.size()) >= kMostMembers || world_.size() >= kMostPlaces)
    return false;
  const bool learns =
      learners() < kMostLearners && (keeps_learners_ || world_.random().below(2) == 0);
  return want(learns ? Kind::kAddLearner : Kind::kAdd, world_.add_place());
}

// Who cannot come back goes first.
bool Admin::want_to_remove() {
  for (const auto& [place, learns] : members_) {
    if (world_.life(place) == World::Life::kLost) return want(Kind::kRemove, place);
  }
  auto chosen = members_.begin();
  std::advance(chosen, world_.random().below(members_.size()));
  const auto voters =
      std::count_if(members_.begin(), members_.end(), [](const auto& m) { return !m.second; });
  // Of two that vote, the one that stays may never hear that it is alone.
  if (!chosen->second && (voters < 3 || !can_go_on(chosen->first))) return false;
  return want(Kind::kRemove, chosen->first);
}

bool Admin::want_to_promote() {
  if (keeps_learners_) return false;
  for (const auto& [place, learns] : members_) {
    if (learns && world_.serves(place)) return want(Kind::kPromote, place);
  }
  return false;
}

int Admin::learners() const {
  return static_cast<int>(
      std::count_if(members_.begin(), members_.end(), [](const auto& m) { return m.second; }));
}

// Whether a majority of the voters can go on, were this one no voter any more.
bool Admin::can_go_on(int without) const {
  size_t voters = 0, there = 0;
  for (const auto& [place, learns] : members_) {
    if (learns || place == without) continue;
    ++voters;
    if (world_.sound(place) && knows_all(place)) ++there;
  }
  return there >= voters / 2 + 1;
}

// The change that removes it must be possible, too.
bool Admin::may_lose(int i) const {
  if (wanted_ || !world_.sound(i)) return false;
  size_t voters = 0, there = 0;
  for (const auto& [place, learns] : members_) {
    if (learns) continue;
    ++voters;
    if (place != i && world_.sound(place) && knows_all(place)) ++there;
  }
  return there >= voters / 2 + 1 && voters >= 3;
}

// A member goes by the configuration that it has applied: of one that has not heard of the newest
// voter the lost one may be needed to win (the first hole in docs/raft.md).
bool Admin::knows_all(int place) const {
  if (!world_.serves(place)) return false;
  std::shared_ptr<const membership::View> view = world_.member(place).node().members().view();
  if (view->members.size() != members_.size()) return false;
  return std::all_of(members_.begin(), members_.end(), [&](const auto& known) {
    const membership::Member* found = view->find(world_.id(known.first));
    return found != nullptr && found->is_learner == known.second;
  });
}

void Admin::transfer() {
  const int leader = world_.leader();
  if (leader < 0 || !world_.serves(leader)) return;
  const int to = static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
  world_.member(leader).node().hand_over_leadership(world_.id(to), kPatience, [](absl::Status) {});
}

// Told to any member; whether it was made, the table of any member says.
void Admin::propose() {
  if (!wanted_ || (asking_ && world_.now() < asked_ + kPatience)) return;
  const int member = static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
  if (!world_.serves(member)) return;
  asking_ = true;
  asked_ = world_.now();
  world_.member(member).propose_change(change(), [this](const apply::Reply&) { asking_ = false; });
}

raft::ConfChange Admin::change() const {
  const MemberId id = world_.id(wanted_->place);
  if (wanted_->kind == Kind::kRemove) {
    return {.type = raft::ConfChangeType::kRemoveNode, .node_id = id};
  }
  const bool learns = wanted_->kind == Kind::kAddLearner;
  const bool promotes = wanted_->kind == Kind::kPromote;
  std::string context =
      cat("{\"id\":", id.value, ",\"peerURLs\":[\"http://10.0.0.", wanted_->place + 1, ":2380\"]",
          learns ? ",\"isLearner\":true" : "", promotes ? ",\"isPromote\":true" : "", "}");
  return {.type = learns ? raft::ConfChangeType::kAddLearnerNode : raft::ConfChangeType::kAddNode,
          .node_id = id,
          .context = Bytes::copy(context)};
}

bool Admin::is_made() const {
  const int member = world_.most_advanced();
  if (member < 0) return false;
  std::shared_ptr<const membership::View> view = world_.member(member).node().members().view();
  const MemberId id = world_.id(wanted_->place);
  const membership::Member* found = view->find(id);
  switch (wanted_->kind) {
    case Kind::kRemove:
      return std::binary_search(view->removed.begin(), view->removed.end(), id);
    case Kind::kPromote:
      return found && !found->is_learner;
    case Kind::kAdd:
    case Kind::kAddLearner:
      return found != nullptr;
  }
  return false;
}

void Admin::note_made() {
  const Wanted made = *std::exchange(wanted_, std::nullopt);
  ++changes_;
  if (made.kind == Kind::kRemove) {
    members_.erase(made.place);
  } else {
    if (made.kind != Kind::kPromote) newcomer_ = made.place;
    members_[made.place] = made.kind == Kind::kAddLearner;
  }
}

}  // namespace keelson::sim
