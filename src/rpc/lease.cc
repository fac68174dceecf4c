// The Lease service. Grants and revocations go through the log; renewals and questions are for the
// leader's table (rpc/lease_keeper.h).

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apply/decode.h"
#include "apply/quota.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/protobuf.h"
#include "rpc/canonical.h"
#include "rpc/lease_keeper.h"
#include "rpc/services.h"
#include "rpc/spans.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
namespace field = keelson::pb;
using wire::InternalKind;

// Who asks, and the rules that it was admitted by, to hold the keys of leases against. What takes
// long: a lease may have a million. So it is not for the apply lane, where everybody waits.
struct KeyAsker {
  std::shared_ptr<const auth::Rules> rules;
  Context::Asker who;

  bool may_all() const { return rules->may_administrate(who.identity()).ok(); }
  absl::Status may(auth::Access access, const lease::KeyListing& keys) const {
    if (keys.size() == 0 || may_all()) return absl::OkStatus();
    const absl::StatusOr<const auth::UserRules*> user = rules->rules_for(who.identity());
    if (!user.ok()) return user.status();
    const bool all =
        keys.every([&](std::string_view key) { return (*user)->may(access, key, {}); });
    return all ? absl::OkStatus() : errors::PermissionDenied();
  }
};

absl::StatusOr<KeyAsker> key_asker(Context& context, const net::ServerCall& call) {
  absl::StatusOr<Context::Asker> who = context.user_of(call);
  if (!who.ok()) return who.status();
  return KeyAsker{context.lane(call).access.rules, *std::move(who)};
}

class LeaseGrant final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseGrantRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    Lane& lane = context_.lane(*call);
    if (absl::Status s = context_.check_quota(lane, apply::kLeaseCost); !s.ok()) {
      return call->fail(std::move(s));
    }
    // The id is chosen here, so that every member grants the same.
    while (request.id() == 0) {
      request.set_id(static_cast<int64_t>(lane.ids.next() & INT64_MAX));
    }
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request);
    if (absl::Status s = context_.require_user(*call); !s.ok()) return call->fail(std::move(s));
    context_.propose(std::move(call), InternalKind::kLeaseGrant, {canonical(request), bytes.size()},
                     apply::kLeaseCost);
  }
};

class LeaseRevoke final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseRevokeRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request);
    if (absl::Status s = context_.require_user(*call); !s.ok()) return call->fail(std::move(s));
    context_.propose(std::move(call), InternalKind::kLeaseRevoke,
                     {canonical(request), bytes.size()});
  }
};

class LeaseTimeToLive final : public Unary {
 public:
  explicit LeaseTimeToLive(Context& context) : Unary(context), keeper_(context) {}

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseTimeToLiveRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_user(*call); !s.ok()) return call->fail(std::move(s));
    const LeaseId id(request.id());
    keeper_.times(
        context_.lane(*call), context_.origin(*call), id, request.keys(),
        [this, call, id](absl::StatusOr<LeaseTimes> times) { answer(call, id, std::move(times)); });
  }

  void answer(net::CallRef call, LeaseId id, absl::StatusOr<LeaseTimes> times) {
    pb::LeaseTimeToLiveResponse response;
    response.set_id(id.value);
    if (absl::IsNotFound(times.status())) {
      response.set_ttl(-1);
    } else if (!times.ok()) {
      return call->fail(times.status());
    } else {
      response.set_ttl(times->remaining);
      response.set_grantedttl(times->granted);
      if (times->keys.size() > 0) {
        return answer(std::move(call), std::move(response), std::move(times->keys));
      }
    }
    call->respond(context_.respond(0, Parts::copy(response.SerializeAsString())));
  }

  // Who is told the keys must be allowed to read them, and not before they are known.
  void answer(net::CallRef call, pb::LeaseTimeToLiveResponse response, lease::KeyListing listing) {
    if (call->over()) return;
    absl::StatusOr<auth::Identity> who = context_.who(*call);
    if (!who.ok()) return call->fail(who.status());
    KeyAsker asker{.rules = context_.lane(*call).access.rules,
                   .who = {std::string(who->user), who->revision}};
    if (listing.size() <= kMostOnTheLane) {
      return finish(*call, body_of(std::move(response), listing, asker));
    }
    context_.long_reads().compute(
        context_.origin(*call), call,
        [this, call, response = std::move(response), listing = std::move(listing),
         asker = std::move(asker)]() mutable -> Task {
          return [this, call, body = body_of(std::move(response), listing, asker)]() mutable {
            finish(*call, std::move(body));
          };
        });
  }

  static absl::StatusOr<Parts> body_of(pb::LeaseTimeToLiveResponse response,
                                       const lease::KeyListing& listing, const KeyAsker& asker) {
    if (absl::Status s = asker.may(auth::Access::kRead, listing); !s.ok()) return s;
    for (std::string& key : listing.sorted()) response.add_keys(std::move(key));
    return Parts::copy(response.SerializeAsString());
  }

  void finish(net::ServerCall& call, absl::StatusOr<Parts> body) {
    if (!body.ok()) return call.fail(body.status());
    call.respond(context_.respond(0, *std::move(body)));
  }

  LeaseKeeper keeper_;
};

// Field 2, a LeaseStatus each: its field 1 is the id.
Parts leases_body(const lease::LeaseListing& listing) {
  std::string body;
  for (LeaseId id : listing.by_expiry()) {
    std::string status;
    field::append_varint_field(status, 1, static_cast<uint64_t>(id.value));
    field::append_bytes_field(body, 2, status);
  }
  return Parts::copy(body);
}

// The apply lane gives the listings, which costs it next to nothing; what is done with them is for
// a worker, where it may be long. Who may not administrate must be allowed to read every key under
// every lease: that is looked at some leases at a time.
class LeaseLeases final : public Unary {
 public:
  using Unary::Unary;

 private:
  struct Listed {
    lease::LeaseListing listing;
    KeyAsker asker;
    std::vector<LeaseId> ids;  // if it must be looked at
  };
  using ListedPtr = std::shared_ptr<Listed>;

  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseLeasesRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    absl::StatusOr<KeyAsker> asker = key_asker(context_, *call);
    if (!asker.ok()) return call->fail(asker.status());
    context_.node().apply_lane().run([this, call,
                                      asker = *std::move(asker)](apply::Applier& applier) mutable {
      auto listed = std::make_shared<Listed>(
          Listed{.listing = applier.leases().list(), .asker = std::move(asker)});
      call->loop().post([this, call, listed = std::move(listed)] {
        if (call->over()) return;
        if (listed->asker.may_all()) return answer(call, listed->listing);
        context_.long_reads().compute(context_.origin(*call), call, [this, call, listed]() -> Task {
          listed->ids = listed->listing.by_expiry();
          return [this, call, listed] { look_at(call, listed, 0); };
        });
      });
    });
  }

  void look_at(net::CallRef call, ListedPtr listed, size_t next) {
    if (call->over()) return;
    context_.node().apply_lane().run([this, call, listed, next](apply::Applier& applier) {
      const size_t end = std::min(next + kMostLookedAt, listed->ids.size());
      std::vector<lease::KeyListing> keys;
      for (size_t i = next; i < end; ++i) {
        keys.push_back(applier.leases().list_keys(listed->ids[i]));
      }
      call->loop().post([this, call, listed, end, keys = std::move(keys)]() mutable {
        if (!call->over()) look_at(call, listed, end, std::move(keys));
      });
    });
  }

  void look_at(net::CallRef call, ListedPtr listed, size_t end,
               std::vector<lease::KeyListing> keys) {
    context_.long_reads().compute(
        context_.origin(*call), call, [this, call, listed, end, keys = std::move(keys)]() -> Task {
          absl::Status may;
          for (size_t i = 0; i < keys.size() && may.ok(); ++i) {
            may = listed->asker.may(auth::Access::kRead, keys[i]);
          }
          return [this, call, listed, end, may = std::move(may)]() mutable {
            if (!may.ok()) return call->fail(std::move(may));
            if (end < listed->ids.size()) return look_at(call, listed, end);
            answer(call, listed->listing);
          };
        });
  }

  void answer(net::CallRef call, const lease::LeaseListing& listing) {
    if (call->over()) return;
    if (listing.size() <= kMostOnTheLane) {
      return call->respond(context_.respond(0, leases_body(listing)));
    }
    context_.long_reads().compute(context_.origin(*call), call, [this, call, listing]() -> Task {
      return [this, call, body = leases_body(listing)]() mutable {
        call->respond(context_.respond(0, std::move(body)));
      };
    });
  }

  static constexpr size_t kMostLookedAt = 256;
};

// One keep-alive stream. Only so many renewals are under way, the rest waits in the client's
// window.
class KeepAliveCall final : public net::StreamReceiver {
 public:
  KeepAliveCall(Context& context, LeaseKeeper& keeper, net::CallRef call)
      : context_(context), keeper_(keeper), call_(std::move(call)) {
    context_.lane(*call_).leader_bounds->bind(
        *call_, [this] { call_->finish(errors::NoLeader()); }, &bound_);
  }

  void on_message(Bytes bytes) override {
    if (absl::Status s = apply::decode(bytes, &request_); !s.ok()) return call_->fail(std::move(s));
    if (++under_way_ == kMostUnderWay) call_->set_reading(false);
    // The header is of the time before the renewal: a client must not see a keep-alive succeed at a
    // revision at which the lease was already revoked.
    const LeaseId id(request_.id());
    trace::CallTrace* trace = call_->trace();
    auto done = [this, alive = std::weak_ptr<bool>(alive_), id, header = context_.respond(0, {}),
                 span = trace ? make_span(*trace, request_)
                              : nullptr](absl::StatusOr<int64_t> ttl) mutable {
      span.reset();
      if (!alive.expired()) answer(id, std::move(header), std::move(ttl));
    };
    absl::StatusOr<KeyAsker> asker = key_asker(context_, *call_);
    if (!asker.ok()) return done(asker.status());
    if (asker->may_all()) return renew(id, absl::OkStatus(), std::move(done));
    renew_if_permitted(id, *std::move(asker), std::move(done));
  }

  void on_half_close() override {
    half_closed_ = true;
    finish_if_idle();
  }

  // etcd's clients open the stream again; who was heard is answered first.
  void on_drain() override {
    draining_ = true;
    call_->set_reading(false);
    finish_if_idle();
  }

 private:
  static constexpr int kMostUnderWay = 64;

  using Done = LeaseKeeper::Done<int64_t>;

  // Who renews a lease must be allowed to write every key under it, as far as is known here. The
  // apply lane and the workers may come to it when we are gone: what they run does not look at us.
  void renew_if_permitted(LeaseId id, KeyAsker asker, Done done) {
    context_.node().apply_lane().run([this, alive = std::weak_ptr<bool>(alive_),
                                      &loop = call_->loop(), id, asker = std::move(asker),
                                      done = std::move(done)](apply::Applier& applier) mutable {
      loop.post([this, alive = std::move(alive), id, keys = applier.leases().list_keys(id),
                 asker = std::move(asker), done = std::move(done)]() mutable {
        if (!alive.expired()) look_at(id, std::move(keys), std::move(asker), std::move(done));
      });
    });
  }

  void look_at(LeaseId id, lease::KeyListing keys, KeyAsker asker, Done done) {
    constexpr auto kWrite = auth::Access::kWrite;
    if (call_->over()) return;
    if (keys.size() <= kMostOnTheLane) return renew(id, asker.may(kWrite, keys), std::move(done));
    const uint64_t number = ++looked_at_;
    waiting_.emplace(number, std::move(done));
    context_.long_reads().compute(context_.origin(*call_), call_,
                                  [this, alive = std::weak_ptr<bool>(alive_), id, number,
                                   keys = std::move(keys), asker = std::move(asker)]() -> Task {
                                    return [this, alive, id, number,
                                            may = asker.may(kWrite, keys)]() mutable {
                                      if (alive.expired()) return;
                                      auto waits = waiting_.extract(number);
                                      CHECK(!waits.empty());
                                      renew(id, std::move(may), std::move(waits.mapped()));
                                    };
                                  });
  }

  void renew(LeaseId id, absl::Status may, Done done) {
    if (!may.ok()) return done(std::move(may));
    if (call_->over()) return;
    keeper_.renew(context_.lane(*call_), context_.origin(*call_), id, std::move(done));
  }

  void answer(LeaseId id, Parts message, absl::StatusOr<int64_t> ttl) {
    if (absl::IsNotFound(ttl.status())) ttl = 0;
    if (!ttl.ok()) return call_->fail(ttl.status());
    std::string body;
    field::append_varint_field(body, 2, static_cast<uint64_t>(id.value));
    field::append_varint_field(body, 3, static_cast<uint64_t>(*ttl));
    message.add(Bytes::copy(body));
    call_->send(std::move(message));
    if (under_way_-- == kMostUnderWay && !draining_) call_->set_reading(true);
    finish_if_idle();
  }

  void finish_if_idle() {
    if (under_way_ > 0) return;
    if (half_closed_) return call_->finish(absl::OkStatus());
    if (draining_) call_->finish(errors::Stopped());
  }

  Context& context_;
  LeaseKeeper& keeper_;
  const net::CallRef call_;
  LeaderBounds::Bound bound_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  pb::LeaseKeepAliveRequest request_;
  int under_way_ = 0;
  // Of those under way the ones whose keys a worker looks at, by number.
  std::map<uint64_t, Done> waiting_;
  uint64_t looked_at_ = 0;
  bool half_closed_ = false;
  bool draining_ = false;
};

class LeaseKeepAlive final : public net::StreamHandler {
 public:
  explicit LeaseKeepAlive(Context& context) : context_(context), keeper_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
    context_.hold_until_token_known(call);
    return std::make_unique<KeepAliveCall>(context_, keeper_, std::move(call));
  }

 private:
  Context& context_;
  LeaseKeeper keeper_;
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_lease(Context& context,
                                                               net::Router& router,
                                                               net::MethodOptions max) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view path, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(path, handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("/etcdserverpb.Lease/LeaseGrant", std::make_unique<LeaseGrant>(context));
  add("/etcdserverpb.Lease/LeaseRevoke", std::make_unique<LeaseRevoke>(context));
  add("/etcdserverpb.Lease/LeaseTimeToLive", std::make_unique<LeaseTimeToLive>(context));
  add("/etcdserverpb.Lease/LeaseLeases", std::make_unique<LeaseLeases>(context));
  return made;
}

std::unique_ptr<net::StreamHandler> register_keep_alive(Context& context, net::Router& router,
                                                        net::MethodOptions max) {
  auto handler = std::make_unique<LeaseKeepAlive>(context);
  router.stream("/etcdserverpb.Lease/LeaseKeepAlive", net::MethodKind::kBidiStream, handler.get(),
                max);
  return handler;
}

}  // namespace keelson::rpc
