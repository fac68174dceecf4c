#include "sim/locks.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "proto/rpc.pb.h"

namespace keelson::sim {
namespace {

namespace pb = etcdserverpb;
using wire::InternalKind;

// Fewer than holders, who get into each other's way.
constexpr size_t kLocks = 5;
// There are other members to ask before a lease has run out.
constexpr Duration kPatience = std::chrono::milliseconds(700);
// What is relied on where leases live for minutes.
constexpr Duration kSurely = std::chrono::seconds(20);
// A leader's clock may go a tenth too fast.
Duration lives(int64_t ttl) { return std::chrono::milliseconds(ttl * 900); }

}  // namespace

Locks::Locks(World& world, int holders, bool minutes)
    : world_(world),
      minutes_(minutes),
      calm_(world.random().below(2) == 0),
      holders_(static_cast<size_t>(holders)) {
  world.history().listen(
      [this](int64_t revision, const std::vector<Change>& changes) { changed(revision, changes); });
}

bool Locks::is_safe(const Holder& holder) const {
  return holder.has_lock && world_.now() < holder.granted + std::min(lives(holder.ttl), kSurely);
}

bool Locks::is_over(const Holder& holder) const {
  return world_.now() >= holder.granted + lives(holder.ttl);
}

void Locks::begin(Holder& holder) {
  ++holder.turn;
  holder.asking = true;
  holder.asked = world_.now();
}

void Locks::give_up(Holder& holder) {
  holder = {.turn = holder.turn + 1};
  if (calm_) holder.rests = world_.now() + std::chrono::milliseconds(world_.random().below(2000));
}

void Locks::act() {
  Random& random = world_.random();
  const size_t which = random.below(holders_.size());
  Holder& holder = holders_[which];
  int member = static_cast<int>(random.below(static_cast<uint64_t>(world_.size())));
  const uint64_t others = holder.phase == Phase::kHolding ? 4 : 2;  // one in so many asks anybody
  if (world_.leader() >= 0 && random.below(others) != 0) member = world_.leader();
  if (!world_.serves(member) || world_.now() < holder.rests) return;
  if (holder.asking && world_.now() < holder.asked + kPatience) return;
  const bool unanswered = std::exchange(holder.asking, false);
  switch (holder.phase) {
    case Phase::kIdle:
      return grant(which, member);
    case Phase::kGranting:
      return unanswered ? give_up(holder) : take(which, member);
    case Phase::kTaking:
    case Phase::kReleasing:
      return give_up(holder);
    case Phase::kHolding:
      if (is_over(holder) || random.below(200) == 0) return give_up(holder);
      if (random.below(100) == 0) return release(which, member);
      if (random.below(100) == 0) return let_go(which, member);
      return renew(which, member);
  }
}

void Locks::grant(size_t which, int member) {
  Holder& holder = holders_[which];
  begin(holder);
  holder.phase = Phase::kGranting;
  holder.lease = ++last_lease_;
  holder.ttl = minutes_ ? 600 + static_cast<int64_t>(world_.random().below(300))
                        : 2 + static_cast<int64_t>(world_.random().below(5));
  holder.key = cat("lock", which % kLocks);
  holder.granted = world_.now();
  pb::LeaseGrantRequest request;
  request.set_id(holder.lease);
  request.set_ttl(holder.ttl);
  world_.member(member).propose(InternalKind::kLeaseGrant, request.SerializeAsString(),
                                [this, which, turn = holder.turn](const apply::Reply& reply) {
                                  Holder& holder = holders_[which];
                                  if (holder.turn != turn) return;
                                  holder.asking = false;
                                  if (!reply.status.ok()) give_up(holder);
                                });
}

void Locks::take(size_t which, int member) {
  Holder& holder = holders_[which];
  begin(holder);
  holder.phase = Phase::kTaking;
  pb::TxnRequest request;
  pb::Compare* compare = request.add_compare();
  compare->set_key(holder.key);
  compare->set_target(pb::Compare::CREATE);
  compare->set_create_revision(0);
  pb::PutRequest* put = request.add_success()->mutable_request_put();
  put->set_key(holder.key);
  put->set_value(cat("l", holder.lease));
  put->set_lease(holder.lease);
  world_.member(member).propose(
      InternalKind::kTxn, request.SerializeAsString(),
      [this, which, turn = holder.turn](const apply::Reply& reply) {
        Holder& holder = holders_[which];
        if (holder.turn != turn) return;
        pb::TxnResponse response;
        const bool got = reply.status.ok() && response.ParseFromString(reply.body.flat()) &&
                         response.succeeded();
        if (!got) return give_up(holder);
        holder.asking = false;
        holder.phase = Phase::kHolding;
        holder.has_lock = true;
        if (is_over(holder)) return give_up(holder);
        if (!is_safe(holder)) return;
        const History::State there = world_.history().state(world_.history().newest());
        auto held = there.find(holder.key);
        if (held == there.end() || held->second.value != cat("l", holder.lease)) {
          violated(holder, "lost the lock before it was told that it has it");
        }
      });
}

void Locks::renew(size_t which, int member) {
  Holder& holder = holders_[which];
  begin(holder);
  world_.member(member).confirm(
      [this, which, member, turn = holder.turn, asked = holder.asked](absl::Status status) {
        if (holders_[which].turn != turn) return;
        if (!status.ok()) {
          holders_[which].asking = false;
          return;
        }
        renew_here(which, member, turn, asked);
      });
}

void Locks::renew_here(size_t which, int member, uint64_t turn, MonotonicTime asked) {
  world_.member(member).node().apply_lane().run(
      [this, which, member, turn, asked](apply::Applier& applier) {
        Holder& holder = holders_[which];
        if (holder.turn != turn) return;
        absl::StatusOr<lease::Renewal> renewal =
            applier.leases().renew(LeaseId(holder.lease), applier.now());
        if (renewal.ok() && renewal->state == lease::Renewal::State::kClearCheckpointFirst) {
          return clear_checkpoint(which, member, turn, asked);
        }
        holder.asking = false;
        if (absl::IsNotFound(renewal.status()) && is_safe(holder)) {
          return violated(holder, "hears that its lease is not there");
        }
        if (!renewal.ok()) return;
        if (renewal->state == lease::Renewal::State::kExpired) {
          if (is_safe(holder)) violated(holder, "hears that its lease has run out");
          return;
        }
        renewed(holder, asked);
        world_.did(member, World::Deed::kRenews);
      });
}

// A third of the TTL later it is time for the next one.
void Locks::renewed(Holder& holder, MonotonicTime asked) {
  ++renewals_;
  holder.granted = asked;
  if (calm_) holder.rests = asked + lives(holder.ttl) / 3;
}

// As the server does for who renews. On the apply lane, which may be asked again once it is over.
void Locks::clear_checkpoint(size_t which, int member, uint64_t turn, MonotonicTime asked) {
  pb::LeaseCheckpointRequest request;
  request.add_checkpoints()->set_id(holders_[which].lease);
  world_.member(member).propose(InternalKind::kLeaseCheckpoint, request.SerializeAsString(),
                                [this, which, member, turn, asked](const apply::Reply& reply) {
                                  if (holders_[which].turn != turn) return;
                                  if (reply.status.ok())
                                    return renew_here(which, member, turn, asked);
                                  holders_[which].asking = false;
                                });
}

// Whatever comes of it, nobody relies on the lock from here on.
void Locks::release(size_t which, int member) {
  Holder& holder = holders_[which];
  begin(holder);
  holder.phase = Phase::kReleasing;
  holder.has_lock = false;
  pb::LeaseRevokeRequest request;
  request.set_id(holder.lease);
  world_.member(member).propose(
      InternalKind::kLeaseRevoke, request.SerializeAsString(),
      [this, which, turn = holder.turn](const apply::Reply& reply) {
        Holder& holder = holders_[which];
        if (holder.turn != turn || !reply.status.ok()) return;
        const History::State there = world_.history().state(reply.revision);
        auto held = there.find(holder.key);
        if (held != there.end() && held->second.value == cat("l", holder.lease)) {
          violated(holder, "revoked its lease, and the lock is there");
        }
        give_up(holder);
      });
}

// The key goes, if it is this holder's still.
void Locks::let_go(size_t which, int member) {
  Holder& holder = holders_[which];
  begin(holder);
  holder.phase = Phase::kReleasing;
  holder.has_lock = false;
  pb::TxnRequest request;
  pb::Compare* compare = request.add_compare();
  compare->set_key(holder.key);
  compare->set_target(pb::Compare::LEASE);
  compare->set_lease(holder.lease);
  request.add_success()->mutable_request_delete_range()->set_key(holder.key);
  world_.member(member).propose(InternalKind::kTxn, request.SerializeAsString(),
                                [this, which, turn = holder.turn](const apply::Reply&) {
                                  if (holders_[which].turn == turn) give_up(holders_[which]);
                                });
}

void Locks::changed(int64_t revision, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    for (const Holder& holder : holders_) {
      if (holder.key == change.key && is_safe(holder)) {
        violated(holder, cat(change.deleted ? "loses" : "shares", " its lock at ", revision));
      }
    }
  }
}

void Locks::violated(const Holder& holder, std::string_view what) {
  world_.verdict().violated(
      cat("the holder of lease ", holder.lease, " on ", holder.key, " ", what, " ",
          std::chrono::duration<double>(world_.now() - holder.granted).count(),
          " s after a renewal, of ", holder.ttl));
}

void Locks::abandon() {
  for (Holder& holder : holders_) give_up(holder);
}

bool Locks::nothing_is_held() const {
  const History::State there = world_.history().state(world_.history().newest());
  for (const auto& [key, held] : there) {
    if (key.starts_with("lock")) return false;
  }
  return true;
}

}  // namespace keelson::sim
