#include "proxy/services.h"

#include <span>
#include <string_view>
#include <utility>

#include "proxy/forward.h"
#include "proxy/messages.h"

namespace keelson::proxy {

namespace pb = etcdserverpb;

namespace {

struct Method {
  std::string_view path;
  bool repeatable = false;
};

constexpr Method kForwarded[] = {
    {"/etcdserverpb.Lease/LeaseGrant"},
    {"/etcdserverpb.Lease/LeaseRevoke"},
    {"/etcdserverpb.Lease/LeaseLeases", true},
    {"/etcdserverpb.Cluster/MemberAdd"},
    {"/etcdserverpb.Cluster/MemberRemove"},
    {"/etcdserverpb.Cluster/MemberUpdate"},
    {"/etcdserverpb.Cluster/MemberPromote"},
    {"/etcdserverpb.Maintenance/Alarm"},
    {"/etcdserverpb.Maintenance/Status", true},
    {"/etcdserverpb.Maintenance/Defragment"},
    {"/etcdserverpb.Maintenance/Hash", true},
    {"/etcdserverpb.Maintenance/HashKV", true},
    {"/etcdserverpb.Maintenance/MoveLeader"},
    {"/etcdserverpb.Maintenance/Downgrade"},
    {"/etcdserverpb.Auth/AuthEnable"},
    {"/etcdserverpb.Auth/AuthDisable"},
    {"/etcdserverpb.Auth/AuthStatus", true},
    {"/etcdserverpb.Auth/Authenticate", true},
    {"/etcdserverpb.Auth/UserAdd"},
    {"/etcdserverpb.Auth/UserGet", true},
    {"/etcdserverpb.Auth/UserList", true},
    {"/etcdserverpb.Auth/UserDelete"},
    {"/etcdserverpb.Auth/UserChangePassword"},
    {"/etcdserverpb.Auth/UserGrantRole"},
    {"/etcdserverpb.Auth/UserRevokeRole"},
    {"/etcdserverpb.Auth/RoleAdd"},
    {"/etcdserverpb.Auth/RoleGet", true},
    {"/etcdserverpb.Auth/RoleList", true},
    {"/etcdserverpb.Auth/RoleDelete"},
    {"/etcdserverpb.Auth/RoleGrantPermission"},
    {"/etcdserverpb.Auth/RoleRevokePermission"},
    {"/v3lockpb.Lock/Lock"},
    {"/v3lockpb.Lock/Unlock"},
    {"/v3electionpb.Election/Campaign"},
    {"/v3electionpb.Election/Proclaim"},
    {"/v3electionpb.Election/Leader", true},
    {"/v3electionpb.Election/Resign"},
};

}  // namespace

class Services::TimeToLive final : public net::UnaryHandler {
 public:
  explicit TimeToLive(Services& services) : services_(services) {}

  void handle(net::CallRef call, Bytes message) override {
    outbound::RpcRequest request = request_of(*call, std::move(message));
    request.repeatable = true;
    const net::CallRef asking = call;
    ask(services_.client_, asking, std::move(request),
        [&prefix = services_.prefix_,
         call = std::move(call)](absl::StatusOr<Parts> answered) mutable {
          answer(std::move(call), in_namespace(prefix, std::move(answered)));
        });
  }

 private:
  static absl::StatusOr<Parts> in_namespace(const KeyPrefix& prefix,
                                            absl::StatusOr<Parts> answered) {
    if (!answered.ok() || prefix.empty()) return answered;
    pb::LeaseTimeToLiveResponse response;
    if (absl::Status s = parse_answer(*answered, &response); !s.ok()) return s;
    prefix.take_from(&response);
    return encoded(response);
  }

  Services& services_;
};

class Services::MemberList final : public net::UnaryHandler {
 public:
  explicit MemberList(Services& services) : services_(services), cluster_(services.client_, true) {}

  void handle(net::CallRef call, Bytes message) override {
    std::vector<pb::Member> members = services_.members_();
    if (members.empty()) return cluster_.handle(std::move(call), std::move(message));
    pb::MemberListResponse response;
    for (pb::Member& member : members) *response.add_members() = std::move(member);
    call->respond(encoded(response));
  }

 private:
  Services& services_;
  UnaryForward cluster_;
};

Services::Services(outbound::RpcClient& client, const KeyPrefix& prefix, Members members)
    : client_(client), prefix_(prefix), members_(std::move(members)) {}
Services::~Services() = default;

void Services::register_on(net::Router& router, const net::MethodOptions& options) {
  const auto unary = [&](std::string_view path, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(path, handler.get(), options);
    unary_.push_back(std::move(handler));
  };
  for (const Method& method : kForwarded) {
    unary(method.path, std::make_unique<UnaryForward>(client_, method.repeatable));
  }
  unary("/etcdserverpb.Lease/LeaseTimeToLive", std::make_unique<TimeToLive>(*this));
  unary("/etcdserverpb.Cluster/MemberList", std::make_unique<MemberList>(*this));
  for (const auto& [path, endless] : {std::pair("/etcdserverpb.Maintenance/Snapshot", false),
                                      std::pair("/v3electionpb.Election/Observe", true)}) {
    streams_.push_back(std::make_unique<ServerStreamForward>(client_, endless));
    router.stream(path, net::MethodKind::kServerStream, streams_.back().get(), options);
  }
}

}  // namespace keelson::proxy
