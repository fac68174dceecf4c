// The Cluster service: who the members are.

#include <utility>

#include "apply/decode.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;

class MemberList final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::MemberListRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (!request.linearizable()) return answer(*call);
    context_.lane(*call).gateway->read([this, call](absl::Status status) {
      if (!status.ok()) return call->fail(std::move(status));
      answer(*call);
    });
  }

  void answer(net::ServerCall& call) {
    pb::MemberListResponse response;
    std::shared_ptr<const membership::View> view = context_.node().members().view();
    for (const membership::Member& member : view->members) {
      pb::Member* out = response.add_members();
      out->set_id(member.id.value);
      out->set_name(member.name);
      out->set_islearner(member.is_learner);
      for (const std::string& url : member.peer_urls) out->add_peerurls(url);
      for (const std::string& url : member.client_urls) out->add_clienturls(url);
    }
    // etcd's headers of this service carry no revision.
    call.respond(context_.respond_without_revision(Parts::copy(response.SerializeAsString())));
  }
};

}  // namespace

std::unique_ptr<net::UnaryHandler> register_cluster(Context& context, net::Router& router,
                                                    net::MethodOptions max) {
  auto handler = std::make_unique<MemberList>(context);
  router.unary("/etcdserverpb.Cluster/MemberList", handler.get(), max);
  return handler;
}

}  // namespace keelson::rpc
