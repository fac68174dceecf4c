// The Lease service. Grants and revocations go through the log; renewals and questions are answered
// by the table on the apply lane, which owns it.

#include <string>
#include <utility>

#include "apply/decode.h"
#include "apply/quota.h"
#include "base/errors.h"
#include "base/protobuf.h"
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

class LeaseTimeToLive final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::LeaseTimeToLiveRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    LeaseId id(request.id());
    bool keys = request.keys();
    // Behind everything committed, so that a lease just granted is known.
    context_.lane(*call).gateway->read([this, call, id, keys](absl::Status status) {
      if (!status.ok()) return call->fail(std::move(status));
      context_.node().apply_lane().run(
          [this, call, id, keys](apply::Applier& applier) { answer(call, id, keys, applier); });
    });
  }

  void answer(net::CallRef call, LeaseId id, bool keys, apply::Applier& applier) {
    absl::StatusOr<lease::TimeToLive> ttl = applier.leases().time_to_live(id, applier.now());
    pb::LeaseTimeToLiveResponse response;
    response.set_id(id.value);
    if (absl::IsNotFound(ttl.status())) {
      response.set_ttl(-1);
    } else if (!ttl.ok()) {
      return net::ServerCall::fail_later(call, ttl.status());
    } else {
      response.set_ttl(ttl->remaining_seconds);
      response.set_grantedttl(ttl->granted_ttl_seconds);
      if (keys) {
        for (std::string& key : applier.leases().keys(id)) response.add_keys(std::move(key));
      }
    }
    net::ServerCall::respond_later(call,
                                   context_.respond(0, Parts::copy(response.SerializeAsString())));
  }
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

  static constexpr size_t kMostOnTheLane = 512;
};

// One keep-alive stream. Renewals are answered in the order they came; only so many are under way,
// the rest waits in the client's window.
class KeepAliveCall final : public net::StreamReceiver {
 public:
  KeepAliveCall(Context& context, net::CallRef call) : context_(context), call_(std::move(call)) {}

  void on_message(Bytes bytes) override {
    if (absl::Status s = apply::decode(bytes, &request_); !s.ok()) return call_->fail(std::move(s));
    if (++under_way_ == kMostUnderWay) call_->set_reading(false);
    // The header is of the time before the renewal: a client must not see a keep-alive succeed at a
    // revision at which the lease was already revoked.
    renew(LeaseId(request_.id()), context_.respond(0, {}), true);
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

  void renew(LeaseId id, Parts header, bool may_be_new) {
    context_.node().apply_lane().run([this, call = call_, alive = std::weak_ptr<bool>(alive_), id,
                                      header, may_be_new](apply::Applier& applier) mutable {
      auto reply = [this, call, alive, id, header](absl::StatusOr<int64_t> ttl) {
        call->loop().post([this, alive, id, header, ttl] {
          if (!alive.expired()) answer(id, header, ttl);
        });
      };
      absl::StatusOr<lease::Renewal> renewal = applier.leases().renew(id, applier.now());
      if (absl::IsNotFound(renewal.status()) && may_be_new) {
        call->loop().post([this, alive, id, header = std::move(header)]() mutable {
          if (!alive.expired()) renew_when_caught_up(id, std::move(header));
        });
      } else if (!renewal.ok()) {
        reply(renewal.status());
      } else if (renewal->state == lease::Renewal::State::kClearCheckpointFirst) {
        call->loop().post([this, alive, id, header = std::move(header)]() mutable {
          if (!alive.expired()) clear_checkpoint_then_renew(id, std::move(header));
        });
      } else if (renewal->state == lease::Renewal::State::kExpired) {
        applier.leases().when_settled(
            id, [reply](absl::Status settled) mutable { reply(std::move(settled)); });
      } else {
        reply(renewal->ttl_seconds);
      }
    });
  }

  // The grant may be committed and not yet applied.
  void renew_when_caught_up(LeaseId id, Parts header) {
    context_.lane(*call_).gateway->read([this, alive = std::weak_ptr<bool>(alive_), id,
                                         header = std::move(header)](absl::Status status) mutable {
      if (alive.expired()) return;
      if (!status.ok()) return answer(id, header, status);
      renew(id, std::move(header), false);
    });
  }

  // A remaining TTL is on record; were it left there, the next leader would cut the lease short.
  void clear_checkpoint_then_renew(LeaseId id, Parts header) {
    pb::LeaseCheckpointRequest request;
    request.add_checkpoints()->set_id(id.value);
    context_.propose(context_.lane(*call_), InternalKind::kLeaseCheckpoint,
                     request.SerializeAsString(), 0,
                     [this, alive = std::weak_ptr<bool>(alive_), id,
                      header = std::move(header)](apply::Reply reply) mutable {
                       if (alive.expired()) return;
                       if (!reply.status.ok()) return answer(id, header, reply.status);
                       renew(id, std::move(header), false);
                     });
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
  const net::CallRef call_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  pb::LeaseKeepAliveRequest request_;
  int under_way_ = 0;
  bool half_closed_ = false;
  bool draining_ = false;
};

class LeaseKeepAlive final : public net::StreamHandler {
 public:
  explicit LeaseKeepAlive(Context& context) : context_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
    return std::make_unique<KeepAliveCall>(context_, std::move(call));
  }

 private:
  Context& context_;
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
