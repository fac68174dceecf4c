#include "proxy/leasing_session.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "proxy/own_stream.h"

namespace keelson::proxy {

namespace api = etcdserverpb;

namespace {

// What servers say to somebody without a token once there are users.
bool speaks_of_users(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnauthenticated(status);
}

}  // namespace

class LeasingSession::LeaseSink final : public OwnSink {
 public:
  explicit LeaseSink(std::weak_ptr<LeasingSession> session) : session_(std::move(session)) {}
  void send(Parts message) override {
    api::LeaseKeepAliveResponse response;
    const auto session = session_.lock();
    if (!session || !response.ParseFromString(message.flat())) return;
    session->renewed(response.id(), response.ttl());
  }
  // The lease may live on: it is asked for again with the next beat.
  void end(absl::Status /*why*/) override {
    if (const auto session = session_.lock()) session->asked_.reset();
  }

 private:
  const std::weak_ptr<LeasingSession> session_;
};

class LeasingSession::WatchSink final : public OwnSink {
 public:
  WatchSink(std::weak_ptr<LeasingSession> session, uint64_t sight)
      : session_(std::move(session)), sight_(sight) {}
  // Later: whoever says so is the hub, in the middle of telling all its clients.
  void send(Parts message) override {
    post([message = std::move(message)](LeasingSession& session) {
      api::WatchResponse response;
      if (response.ParseFromString(message.flat())) return session.heard(response);
      session.begin_anew();
    });
  }
  void end(absl::Status why) override {
    log::warn("lost sight of leasing keys", {{"error", message_of(why)}});
    post([](LeasingSession& session) { session.lost_sight(); });
  }

 private:
  template <typename Do>
  void post(Do what) {
    const auto session = session_.lock();
    if (!session) return;
    session->deps_.lane.post([session, sight = sight_, what = std::move(what)] {
      if (session->owner_ && session->sight_ == sight) what(*session);
    });
  }

  const std::weak_ptr<LeasingSession> session_;
  const uint64_t sight_;
};

LeasingSession::LeasingSession(const Deps& deps, Owner& owner)
    : deps_(deps), owner_(&owner), keep_alives_({deps.client, deps.lane, deps.metrics}) {}

void LeasingSession::start() {
  deps_.lane.post([self = shared_from_this()] {
    self->keeper_ = self->keep_alives_.join(std::make_shared<LeaseSink>(self), {});
    self->beat();
  });
}

void LeasingSession::stop() {
  deps_.lane.post([self = shared_from_this()] {
    if (!self->owner_) return;
    self->end();
    self->owner_ = nullptr;
    self->keep_alives_.leave(self->keeper_);
  });
}

bool LeasingSession::sure() const {
  const Moment moment = now();
  return lease_ != 0 && !users_ && moment.at < until_.at && moment.wall < until_.wall;
}

void LeasingSession::beat() {
  if (!owner_) return;
  look_for_users();
  if (lease_ != 0 && deps_.clock.now() >= next_renewal_) renew();
  if (lease_ != 0 && !watching_) watch();
  deps_.lane.post_after(kBeat, [self = shared_from_this()] { self->beat(); });
}

void LeasingSession::look_for_users() {
  if (std::exchange(looking_, true)) return;
  api::RangeRequest request;
  request.set_key(deps_.keys.all().begin);
  request.set_keys_only(true);
  if (!deps_.prefix.empty()) deps_.prefix.add_to(&request).IgnoreError();  // there is a key
  ask_for_self<api::RangeResponse>(
      deps_.client, deps_.lane, deps_.clock, "/etcdserverpb.KV/Range", request,
      [self = shared_from_this()](absl::StatusOr<api::RangeResponse> response) {
        self->looking_ = false;
        if (!self->owner_) return;
        if (response.ok()) {
          self->users_ = false;
          if (self->lease_ == 0) self->grant();
        } else if (speaks_of_users(response.status())) {
          if (!std::exchange(self->users_, true)) log::warn("leasing rests: there are users");
          self->end();
        }
      });
}

// ---- the lease

void LeasingSession::grant() {
  if (std::exchange(granting_, true)) return;
  api::LeaseGrantRequest request;
  request.set_ttl(kTtl);
  ask_for_self<api::LeaseGrantResponse>(
      deps_.client, deps_.lane, deps_.clock, "/etcdserverpb.Lease/LeaseGrant", request,
      [self = shared_from_this(), asked = now()](absl::StatusOr<api::LeaseGrantResponse> response) {
        self->granting_ = false;
        if (!self->owner_) return;
        if (response.ok() && response->error().empty()) return self->granted(*response, asked);
        log::warn("failed to create a session for leasing",
                  {{"error", response.ok() ? response->error() : message_of(response.status())}});
      });
}

void LeasingSession::granted(const api::LeaseGrantResponse& response, const Moment& asked) {
  lease_ = response.id();
  ttl_ = response.ttl();
  asked_.reset();
  trust(asked, ttl_);
  next_ = response.header().revision() + 1;
  watch();
  log::info("leasing has a session", {{"lease", lease_}, {"ttl", ttl_}});
}

void LeasingSession::trust(const Moment& asked, int64_t ttl) {
  const Duration sure_for = std::chrono::seconds(ttl) - kMargin;
  until_ = {asked.at + sure_for, asked.wall + sure_for};
  next_renewal_ = asked.at + std::chrono::milliseconds(ttl * 1000 / 3);
}

void LeasingSession::renew() {
  if (asked_) return;
  asked_ = now();
  keep_alives_.renew(keeper_, lease_);
}

void LeasingSession::renewed(int64_t lease, int64_t ttl) {
  if (!owner_ || lease != lease_ || !asked_) return;
  const Moment asked = *std::exchange(asked_, std::nullopt);
  if (ttl > 0) return trust(asked, ttl);
  log::warn("the session of leasing has expired", {{"lease", lease_}});
  end();
}

void LeasingSession::begin_anew() {
  if (owner_) end();
}

// The next beat begins another.
void LeasingSession::end() {
  if (lease_ == 0) return;
  api::LeaseRevokeRequest request;
  ended_ = std::exchange(lease_, 0);
  request.set_id(ended_);
  ask_for_self<api::LeaseRevokeResponse>(deps_.client, deps_.lane, deps_.clock,
                                         "/etcdserverpb.Lease/LeaseRevoke", request, [](auto) {});
  ++sight_;
  watching_ = false;
  deps_.watches.leave(std::exchange(watcher_, 0));
  owner_->ended();
}

// ---- the sight of leasing keys

void LeasingSession::watch() {
  api::WatchCreateRequest range;
  const KeySpan all = deps_.keys.all();
  range.set_key(all.begin);
  range.set_range_end(all.end);
  if (!deps_.prefix.empty()) deps_.prefix.add_to(&range);
  watching_ = true;
  watcher_ = deps_.watches.join(std::make_shared<WatchSink>(weak_from_this(), sight_), {});
  deps_.watches.create(
      watcher_, {.key = range.key(), .end = range.range_end(), .start = next_, .progress = true});
}

void LeasingSession::heard(const api::WatchResponse& response) {
  if (response.canceled()) {
    log::warn("the watch of leasing keys was cancelled", {{"error", response.cancel_reason()}});
    return begin_anew();
  }
  for (const mvccpb::Event& event : response.events()) {
    next_ = std::max(next_, event.kv().mod_revision() + 1);
    owner_->happened(event);
    if (lease_ == 0) return;  // the owner wanted a new one
  }
  const bool is_progress = !response.created() && response.events().empty();
  if (is_progress) next_ = std::max(next_, response.header().revision() + 1);
}

// It goes on behind what was heard last; until then nobody can be told that a key is wanted, and
// whoever wants it waits.
void LeasingSession::lost_sight() {
  ++sight_;
  watching_ = false;
  deps_.watches.leave(std::exchange(watcher_, 0));
}

}  // namespace keelson::proxy
