// The Election service but for Observe: who is first in the line below an election's name leads,
// and the value of its key is what it proclaims.

#include <string>
#include <utility>

#include "apply/decode.h"
#include "proto/v3election.pb.h"
#include "rpc/contender.h"
#include "rpc/leader_response.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using v3electionpb::LeaderKey;

absl::Status not_leader() { return absl::UnknownError("election: not leader"); }
absl::Status missing_leader() { return absl::UnknownError("\"leader\" field must be provided"); }

class Campaign final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    v3electionpb::CampaignRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    Bid bid{.prefix = request.name() + '/',
            .lease = request.lease(),
            .value = request.value(),
            .proclaims = true,
            .lost = not_leader()};
    Contender::start(context_, call, std::move(bid),
                     [this, call, name = request.name()](absl::StatusOr<Place> place) {
                       if (!place.ok()) return call->fail(client_error(place.status()));
                       v3electionpb::CampaignResponse response;
                       LeaderKey* leader = response.mutable_leader();
                       leader->set_name(name);
                       leader->set_key(place->key);
                       leader->set_rev(place->created);
                       leader->set_lease(place->lease);
                       call->respond(context_.respond(place->entered,
                                                      Parts::copy(response.SerializeAsString())));
                     });
  }
};

// What only the leader may do to its key: a transaction that holds if the key is still the one it
// became leader by.
class OfLeader : public Unary {
 public:
  using Unary::Unary;

 protected:
  void change(net::CallRef call, const LeaderKey& leader, const pb::RequestOp& what,
              bool must_lead) {
    pb::TxnRequest txn;
    pb::Compare* compare = txn.add_compare();
    compare->set_target(pb::Compare::CREATE);
    compare->set_result(pb::Compare::EQUAL);
    compare->set_key(leader.key());
    compare->set_create_revision(leader.rev());
    *txn.add_success() = what;
    txn_as_caller(context_, call, txn, [this, call, must_lead](absl::StatusOr<TxnAnswer> answer) {
      if (!answer.ok()) return call->fail(client_error(answer.status()));
      if (must_lead && !answer->response.succeeded()) return call->fail(not_leader());
      call->respond(context_.respond(answer->revision, {}));
    });
  }
};

class Proclaim final : public OfLeader {
 public:
  using OfLeader::OfLeader;

 private:
  // As in etcd, a key without a lease gets one that ends after a minute.
  void run(net::CallRef call, Bytes bytes) override {
    v3electionpb::ProclaimRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (!request.has_leader()) return call->fail(missing_leader());
    if (request.leader().lease() != 0) return put(std::move(call), request);
    constexpr int64_t kTtl = 60;
    grant_as_caller(context_, call, kTtl,
                    [this, call, request](absl::StatusOr<int64_t> lease) mutable {
                      if (!lease.ok()) return call->fail(client_error(lease.status()));
                      request.mutable_leader()->set_lease(*lease);
                      put(call, request);
                    });
  }

  void put(net::CallRef call, const v3electionpb::ProclaimRequest& request) {
    pb::RequestOp op;
    op.mutable_request_put()->set_key(request.leader().key());
    op.mutable_request_put()->set_value(request.value());
    op.mutable_request_put()->set_lease(request.leader().lease());
    change(std::move(call), request.leader(), op, true);
  }
};

class Resign final : public OfLeader {
 public:
  using OfLeader::OfLeader;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    v3electionpb::ResignRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (!request.has_leader()) return call->fail(missing_leader());
    pb::RequestOp op;
    op.mutable_request_delete_range()->set_key(request.leader().key());
    change(std::move(call), request.leader(), op, false);
  }
};

class Leader final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    v3electionpb::LeaderRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    range_as_caller(context_, call, first_below(request.name() + '/'),
                    [this, call](absl::StatusOr<mvcc::RangeResult> found) {
                      if (!found.ok()) return call->fail(client_error(found.status()));
                      if (found->kvs.empty()) {
                        return call->fail(absl::UnknownError("election: no leader"));
                      }
                      call->respond(leader_response(context_, found->revision, found->kvs[0]));
                    });
  }
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_election(Context& context,
                                                                  net::Router& router,
                                                                  net::MethodOptions max) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view path, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(path, handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("/v3electionpb.Election/Campaign", std::make_unique<Campaign>(context));
  add("/v3electionpb.Election/Proclaim", std::make_unique<Proclaim>(context));
  add("/v3electionpb.Election/Leader", std::make_unique<Leader>(context));
  add("/v3electionpb.Election/Resign", std::make_unique<Resign>(context));
  return made;
}

}  // namespace keelson::rpc
