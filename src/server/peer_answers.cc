#include "server/peer_answers.h"

#include <memory>
#include <utility>

#include "base/errors.h"
#include "rpc/services.h"

namespace keelson::server {

PeerAnswers::PeerAnswers(rpc::Context& context, StoreHashes& hashes)
    : context_(context), keeper_(context), changes_(context), hashes_(hashes) {}

void PeerAnswers::on_lane(absl::AnyInvocable<void(rpc::Lane&)> task) {
  rpc::Lane& lane = *context_.lanes().front();
  lane.loop.post([&lane, task = std::move(task)]() mutable { task(lane); });
}

std::string PeerAnswers::cluster_version() {
  return context_.node().members().view()->cluster_version;
}

std::string PeerAnswers::storage_version() { return rpc::storage_version(context_.node()); }

void PeerAnswers::promote(MemberId member, std::string token,
                          peer::Done<std::vector<membership::Member>> done) {
  on_lane(
      [this, member, token = std::move(token), done = std::move(done)](rpc::Lane& lane) mutable {
        if (absl::Status s = context_.require_admin(lane, token); !s.ok())
          return done(std::move(s));
        changes_.promote(lane, {}, member, std::move(token), std::move(done));
      });
}

void PeerAnswers::renew_lease(LeaseId lease, peer::Done<int64_t> done) {
  on_lane([this, lease, done = std::move(done)](rpc::Lane& lane) mutable {
    keeper_.renew_here(lane, {}, lease, std::move(done));
  });
}

void PeerAnswers::lease_times(LeaseId lease, bool keys, peer::Done<peer::LeaseTimes> done) {
  on_lane([this, lease, keys, done = std::move(done)](rpc::Lane& lane) mutable {
    keeper_.times_here(
        lane, {}, lease, keys,
        [this, done = std::move(done)](absl::StatusOr<rpc::LeaseTimes> times) mutable {
          if (!times.ok()) return done(times.status());
          tell_times(*std::move(times), std::move(done));
        });
  });
}

// Many keys are sorted by a worker: the lane has others to serve.
void PeerAnswers::tell_times(rpc::LeaseTimes times, peer::Done<peer::LeaseTimes> done) {
  const bool many = times.keys.size() > rpc::kMostOnTheLane;
  auto shared = std::make_shared<peer::Done<peer::LeaseTimes>>(std::move(done));
  auto tell = [shared, times = std::move(times)](int /*worker*/) {
    (*shared)(peer::LeaseTimes{
        .remaining = times.remaining, .granted = times.granted, .keys = times.keys.sorted()});
  };
  if (!many) return tell(0);
  if (context_.snapshot_workers().run(0, std::move(tell))) return;
  (*shared)(errors::RequestTooManyRequests());
}

void PeerAnswers::hash_kv(int64_t revision, peer::Done<peer::HashAnswer> done) {
  hashes_.hash(revision, [done = std::move(done)](absl::StatusOr<mvcc::KvHash> hash) mutable {
    if (!hash.ok()) return done(hash.status());
    done(peer::HashAnswer{.hash = hash->hash,
                          .compact_revision = hash->compact_revision,
                          .hash_revision = hash->hash_revision,
                          .revision = hash->current_revision});
  });
}

void PeerAnswers::downgrade_enabled(peer::Done<bool> done) {
  on_lane([this, done = std::move(done)](rpc::Lane& lane) mutable {
    lane.gateway->read({}, [this, done = std::move(done)](absl::Status status) mutable {
      if (!status.ok()) return done(std::move(status));
      done(context_.node().members().view()->downgrade.enabled);
    });
  });
}

}  // namespace keelson::server
