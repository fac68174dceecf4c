// The Cluster service: who the members are, and changes of that.

#include <memory>
#include <utility>
#include <vector>

#include "apply/decode.h"
#include "base/errors.h"
#include "rpc/reconfiguration.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using Members = Reconfiguration::Members;

template <typename Response>
void list_members(const Members& members, Response* response) {
  for (const membership::Member& member : members) {
    pb::Member* out = response->add_members();
    out->set_id(member.id.value);
    out->set_name(member.name);
    out->set_islearner(member.is_learner);
    for (const std::string& url : member.peer_urls) out->add_peerurls(url);
    for (const std::string& url : member.client_urls) out->add_clienturls(url);
  }
}

template <typename Strings>
std::vector<std::string> texts(const Strings& strings) {
  return {strings.begin(), strings.end()};
}

// A method whose answer lists the members.
template <typename Request, typename Response>
class ClusterMethod : public Unary {
 public:
  ClusterMethod(Context& context, const ClusterFacts& facts)
      : Unary(context), facts_(facts), changes_(context) {}

 protected:
  virtual void ask(net::CallRef call, const Request& request) = 0;

  // etcd's headers of this service carry no revision.
  void answer(net::ServerCall& call, absl::StatusOr<Members> members, Response response = {}) {
    if (!members.ok()) return call.fail(members.status());
    list_members(*members, &response);
    call.respond(context_.respond_without_revision(Parts::copy(response.SerializeAsString())));
  }

  Reconfiguration::Done answering(net::CallRef call, Response response = {}) {
    return [this, call = std::move(call),
            response = std::move(response)](absl::StatusOr<Members> members) mutable {
      answer(*call, std::move(members), std::move(response));
    };
  }

  const ClusterFacts& facts_;
  Reconfiguration changes_;

 private:
  void run(net::CallRef call, Bytes bytes) final {
    Request request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    ask(std::move(call), request);
  }
};

class MemberList final : public ClusterMethod<pb::MemberListRequest, pb::MemberListResponse> {
 public:
  using ClusterMethod::ClusterMethod;

 private:
  void ask(net::CallRef call, const pb::MemberListRequest& request) override {
    if (!request.linearizable()) return answer_now(*call);
    context_.lane(*call).gateway->read(context_.origin(*call), [this, call](absl::Status status) {
      if (!status.ok()) return call->fail(std::move(status));
      answer_now(*call);
    });
  }

  void answer_now(net::ServerCall& call) {
    if (absl::Status s = context_.require_user(call); !s.ok()) return call.fail(std::move(s));
    answer(call, context_.node().members().view()->members);
  }
};

class MemberAdd final : public ClusterMethod<pb::MemberAddRequest, pb::MemberAddResponse> {
 public:
  using ClusterMethod::ClusterMethod;

 private:
  void ask(net::CallRef call, const pb::MemberAddRequest& request) override {
    absl::StatusOr<std::vector<std::string>> urls = facts_.parse_urls(texts(request.peerurls()));
    if (!urls.ok()) return call->fail(errors::MemberBadURLs());
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    const membership::Member member = membership::new_member(*std::move(urls), request.islearner(),
                                                             context_.node().clock().unix_time());
    pb::MemberAddResponse response;
    pb::Member* added = response.mutable_member();
    added->set_id(member.id.value);
    added->set_islearner(member.is_learner);
    for (const std::string& url : member.peer_urls) added->add_peerurls(url);
    changes_.add(context_.lane(*call), context_.origin(*call), member,
                 answering(call, std::move(response)));
  }
};

class MemberRemove final : public ClusterMethod<pb::MemberRemoveRequest, pb::MemberRemoveResponse> {
 public:
  using ClusterMethod::ClusterMethod;

 private:
  void ask(net::CallRef call, const pb::MemberRemoveRequest& request) override {
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    changes_.remove(context_.lane(*call), context_.origin(*call), MemberId(request.id()),
                    answering(call));
  }
};

class MemberUpdate final : public ClusterMethod<pb::MemberUpdateRequest, pb::MemberUpdateResponse> {
 public:
  using ClusterMethod::ClusterMethod;

 private:
  // etcd's server takes any text here and dies of it on every member; its clients look first.
  void ask(net::CallRef call, const pb::MemberUpdateRequest& request) override {
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    if (!facts_.parse_urls(texts(request.peerurls())).ok()) {
      const bool known = context_.node().members().view()->find(MemberId(request.id())) != nullptr;
      return call->fail(known ? errors::MemberBadURLs() : errors::MemberNotFound());
    }
    changes_.update(context_.lane(*call), context_.origin(*call), MemberId(request.id()),
                    texts(request.peerurls()), answering(call));
  }
};

class MemberPromote final
    : public ClusterMethod<pb::MemberPromoteRequest, pb::MemberPromoteResponse> {
 public:
  using ClusterMethod::ClusterMethod;

 private:
  void ask(net::CallRef call, const pb::MemberPromoteRequest& request) override {
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    changes_.promote(context_.lane(*call), context_.origin(*call), MemberId(request.id()),
                     Access::token_of(*call), answering(call));
  }
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_cluster(Context& context,
                                                                 net::Router& router,
                                                                 net::MethodOptions max,
                                                                 const ClusterFacts& facts) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view name, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary("/etcdserverpb.Cluster/" + std::string(name), handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("MemberList", std::make_unique<MemberList>(context, facts));
  add("MemberAdd", std::make_unique<MemberAdd>(context, facts));
  add("MemberRemove", std::make_unique<MemberRemove>(context, facts));
  add("MemberUpdate", std::make_unique<MemberUpdate>(context, facts));
  add("MemberPromote", std::make_unique<MemberPromote>(context, facts));
  return made;
}

}  // namespace keelson::rpc
