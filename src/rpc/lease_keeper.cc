#include "rpc/lease_keeper.h"

#include <memory>
#include <string>
#include <utility>

#include "base/errors.h"
#include "base/failpoint.h"
#include "rpc/at_leader.h"

namespace keelson::rpc {
namespace {

bool is_answer(const absl::Status& status) { return status == errors::LeaseNotFound(); }

bool is_elsewhere(const absl::Status& status) {
  return status == errors::NotLeader() || status == errors::LeaderChanged();
}

// Calls `done` with `answer` on the loop.
template <typename Value>
void bring(net::Loop& loop, Others::Done<Value> done, absl::StatusOr<Value> answer) {
  loop.post(
      [done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

absl::StatusOr<LeaseTimes> times_in(lease::LeaseTable& leases, LeaseId id, bool keys,
                                    MonotonicTime now) {
  absl::StatusOr<lease::TimeToLive> ttl = leases.time_to_live(id, now);
  if (!ttl.ok()) return ttl.status();
  LeaseTimes times{.remaining = ttl->remaining_seconds, .granted = ttl->granted_ttl_seconds};
  if (keys) times.keys = leases.list_keys(id);
  return times;
}

}  // namespace

void LeaseKeeper::renew(Lane& lane, Origin from, LeaseId id, Done<int64_t> done) {
  renew_here(lane, from, id,
             [this, &lane, from, id, done = std::move(done)](absl::StatusOr<int64_t> ttl) mutable {
               if (ttl.ok() || !is_elsewhere(ttl.status())) return done(std::move(ttl));
               renew_at_leader(lane, from, id, std::move(done));
             });
}

void LeaseKeeper::renew_at_leader(Lane& lane, Origin from, LeaseId id, Done<int64_t> done) {
  AtLeader<int64_t>::Question question{
      .here = [this, &lane, from,
               id](Done<int64_t> done) { renew_here(lane, from, id, std::move(done)); },
      .there =
          [this, id](const membership::Member& leader, Duration timeout, Done<int64_t> done) {
            context_.others()->renew_lease(id, leader, timeout, std::move(done));
          },
      .is_answer = is_answer};
  AtLeader<int64_t>::ask(context_, lane, std::move(question), std::move(done));
}

void LeaseKeeper::times(Lane& lane, Origin from, LeaseId id, bool keys, Done<LeaseTimes> done) {
  AtLeader<LeaseTimes>::Question question{
      .here = [this, &lane, from, id,
               keys](Done<LeaseTimes> done) { times_here(lane, from, id, keys, std::move(done)); },
      .there =
          [this, id, keys](const membership::Member& leader, Duration timeout,
                           Done<LeaseTimes> done) {
            context_.others()->lease_times(id, keys, leader, timeout, std::move(done));
          },
      .is_answer = is_answer};
  AtLeader<LeaseTimes>::ask(context_, lane, std::move(question), std::move(done));
}

// etcd asks a quorum only when its own clock has not ticked for a while; a member that stood still
// may tick before it hears who leads now. A lease that was just granted is known, too, behind a
// read.
void LeaseKeeper::renew_here(Lane& lane, Origin from, LeaseId id, Done<int64_t> done) {
  if (!context_.node().is_leader()) return done(errors::NotLeader());
  lane.gateway->read(from,
                     [this, &lane, from, id, done = std::move(done)](absl::Status status) mutable {
                       if (!status.ok()) return done(std::move(status));
                       renew_behind_failpoint(lane, from, id, std::move(done));
                     });
}

// It may sleep there, and the lease be revoked meanwhile by way of this lane.
void LeaseKeeper::renew_behind_failpoint(Lane& lane, Origin from, LeaseId id, Done<int64_t> done) {
  if (!failpoint::any_armed()) return renew_now(lane, from, id, std::move(done));
  context_.snapshot_workers().go_on(
      static_cast<uint64_t>(id.value),
      [this, &lane, from, id, done = std::move(done)](int /*worker*/) mutable {
        KEELSON_FAILPOINT("lease_before_renew");
        lane.loop.post([this, &lane, from, id, done = std::move(done)]() mutable {
          renew_now(lane, from, id, std::move(done));
        });
      });
}

void LeaseKeeper::renew_now(Lane& lane, Origin from, LeaseId id, Done<int64_t> done) {
  context_.node().apply_lane().run(
      [this, &lane, from, id, done = std::move(done)](apply::Applier& applier) mutable {
        absl::StatusOr<lease::Renewal> renewal = applier.leases().renew(id, applier.now());
        if (!renewal.ok()) {
          bring<int64_t>(lane.loop, std::move(done), renewal.status());
        } else if (renewal->state == lease::Renewal::State::kClearCheckpointFirst) {
          lane.loop.post([this, &lane, from, id, done = std::move(done)]() mutable {
            clear_checkpoint_then_renew(lane, from, id, std::move(done));
          });
        } else if (renewal->state == lease::Renewal::State::kExpired) {
          applier.leases().when_settled(
              id, [&lane, done = std::move(done)](absl::Status settled) mutable {
                bring<int64_t>(lane.loop, std::move(done), std::move(settled));
              });
        } else {
          bring<int64_t>(lane.loop, std::move(done), renewal->ttl_seconds);
        }
      });
}

// A remaining TTL is on record; were it left there, the next leader would cut the lease short.
void LeaseKeeper::clear_checkpoint_then_renew(Lane& lane, Origin from, LeaseId id,
                                              Done<int64_t> done) {
  etcdserverpb::LeaseCheckpointRequest request;
  request.add_checkpoints()->set_id(id.value);
  context_.propose(lane, from, wire::InternalKind::kLeaseCheckpoint, request.SerializeAsString(), 0,
                   [this, &lane, from, id, done = std::move(done)](apply::Reply reply) mutable {
                     if (!reply.status.ok()) return done(std::move(reply.status));
                     renew_now(lane, from, id, std::move(done));
                   });
}

// Behind everything committed, so that a lease just granted is known.
void LeaseKeeper::times_here(Lane& lane, Origin from, LeaseId id, bool keys,
                             Done<LeaseTimes> done) {
  lane.gateway->read(
      from, [this, &lane, id, keys, done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) return done(std::move(status));
        context_.node().apply_lane().run([&lane, id, keys,
                                          done = std::move(done)](apply::Applier& applier) mutable {
          bring(lane.loop, std::move(done), times_in(applier.leases(), id, keys, applier.now()));
        });
      });
}

}  // namespace keelson::rpc
