// The Lease service. Grants and revocations go through the log; renewals and questions are for the
// leader's table (rpc/lease_keeper.h).

#include <string>
#include <utility>

#include "apply/decode.h"
#include "apply/quota.h"
#include "base/errors.h"
#include "base/protobuf.h"
#include "rpc/lease_keeper.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
namespace field = keelson::pb;
using wire::InternalKind;

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
    context_.propose(std::move(call), InternalKind::kLeaseGrant, request.SerializeAsString(),
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
    context_.propose(std::move(call), InternalKind::kLeaseRevoke, bytes);
  }
};

// So many keys, or leases, are sorted and encoded on the io lane; more are for a worker.
constexpr size_t kMostOnTheLane = 512;

class LeaseTimeToLive final : public Unary {
 public:
  explicit LeaseTimeToLive(Context& context) : Unary(context), keeper_(context) {}

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseTimeToLiveRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    const LeaseId id(request.id());
    keeper_.times(context_.lane(*call), id, request.keys(),
                  [this, call, id](absl::StatusOr<LeaseTimes> times) {
                    answer(call, id, std::move(times));
                  });
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
      return answer(std::move(call), std::move(response), std::move(times->keys));
    }
    call->respond(context_.respond(0, Parts::copy(response.SerializeAsString())));
  }

  void answer(net::CallRef call, pb::LeaseTimeToLiveResponse response, lease::KeyListing listing) {
    if (call->over()) return;
    if (listing.size() <= kMostOnTheLane) {
      return call->respond(context_.respond(0, body_of(response, listing)));
    }
    context_.long_reads().compute(
        call, [this, call, response = std::move(response), listing = std::move(listing)]() -> Task {
          return [this, call, body = body_of(response, listing)]() mutable {
            call->respond(context_.respond(0, std::move(body)));
          };
        });
  }

  static Parts body_of(const pb::LeaseTimeToLiveResponse& head, const lease::KeyListing& listing) {
    pb::LeaseTimeToLiveResponse response = head;
    for (std::string& key : listing.sorted()) response.add_keys(std::move(key));
    return Parts::copy(response.SerializeAsString());
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

// The apply lane gives the listing, which costs it next to nothing; sorting and encoding a long one
// is for a worker.
class LeaseLeases final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseLeasesRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    context_.node().apply_lane().run([this, call](apply::Applier& applier) {
      call->loop().post([this, call, listing = applier.leases().list()]() mutable {
        answer(std::move(call), std::move(listing));
      });
    });
  }

  void answer(net::CallRef call, lease::LeaseListing listing) {
    if (call->over()) return;
    if (listing.size() <= kMostOnTheLane) {
      return call->respond(context_.respond(0, leases_body(listing)));
    }
    context_.long_reads().compute(call, [this, call, listing = std::move(listing)]() -> Task {
      return [this, call, body = leases_body(listing)]() mutable {
        call->respond(context_.respond(0, std::move(body)));
      };
    });
  }
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
    keeper_.renew(context_.lane(*call_), id,
                  [this, alive = std::weak_ptr<bool>(alive_), id,
                   header = context_.respond(0, {})](absl::StatusOr<int64_t> ttl) mutable {
                    if (!alive.expired()) answer(id, std::move(header), std::move(ttl));
                  });
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
  bool half_closed_ = false;
  bool draining_ = false;
};

class LeaseKeepAlive final : public net::StreamHandler {
 public:
  explicit LeaseKeepAlive(Context& context) : context_(context), keeper_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
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
