// token_test: where users must log in, the leader promotes for whoever may, wherever they ask; and
// not for whoever comes to its peer port.

#include <iostream>
#include <optional>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/http.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

// Root's token.
std::string enable_auth(Cluster& cluster, int by) {
  harness::Client& client = cluster.at(by).client();
  pb::AuthUserAddRequest user;
  user.set_name("root");
  user.set_password("secret");
  pb::AuthUserAddResponse added;
  cluster.check(client.unary("/etcdserverpb.Auth/UserAdd", user, &added), "add root");
  pb::AuthUserGrantRoleRequest grant;
  grant.set_user("root");
  grant.set_role("root");
  pb::AuthUserGrantRoleResponse granted;
  cluster.check(client.unary("/etcdserverpb.Auth/UserGrantRole", grant, &granted), "grant root");
  pb::AuthEnableResponse enabled;
  cluster.check(client.unary("/etcdserverpb.Auth/AuthEnable", pb::AuthEnableRequest(), &enabled),
                "enable");
  pb::AuthenticateRequest login;
  login.set_name("root");
  login.set_password("secret");
  pb::AuthenticateResponse session;
  cluster.check(client.unary("/etcdserverpb.Auth/Authenticate", login, &session), "log in");
  return session.token();
}

// As the members have it; not known, if whoever asks may not know.
std::optional<bool> learns(Cluster& cluster, int member, int by, const std::string& token) {
  pb::MemberListRequest request;
  request.set_linearizable(true);
  pb::MemberListResponse response;
  const grpc::Status status =
      cluster.at(by).client().unary("/etcdserverpb.Cluster/MemberList", request, &response,
                                    {Milliseconds(20000), {{"token", token}}, false});
  if (!status.ok()) return std::nullopt;
  for (const pb::Member& listed : response.members()) {
    if (listed.id() == cluster.id(member)) return listed.islearner();
  }
  return std::nullopt;
}

int run(const std::string& binary) {
  Cluster cluster({binary, binary, binary});
  cluster.start();
  const int leader = cluster.leader();
  if (leader < 0) return 1;
  const int follower = (leader + 1) % 3;
  const int fresh = cluster.add(binary, true, leader);
  cluster.join(fresh);
  const std::string token = enable_auth(cluster, follower);

  pb::MemberPromoteRequest request;
  request.set_id(cluster.id(fresh));
  pb::MemberPromoteResponse response;
  const auto promote = [&](int by, harness::CallOptions options) {
    return cluster.at(by).client().unary("/etcdserverpb.Cluster/MemberPromote", request, &response,
                                         std::move(options));
  };
  for (int by : {leader, follower}) {
    const grpc::Status refused = promote(by, {Milliseconds(20000), {}, false});
    cluster.check(refused.error_message() == "etcdserver: user name is empty",
                  "nobody promotes: " + refused.error_message());
  }
  // As a member would ask, or anybody who reaches the port.
  const std::string peer = cluster.at(leader).peer_url().substr(std::string("http://").size());
  const auto answer =
      harness::http_request(peer, "POST", cat("/members/promote/", cluster.id(fresh)));
  cluster.check(answer.ok() && answer->code == 500,
                cat("nobody promotes at the peer port: ", answer.ok() ? answer->code : 0));
  cluster.check(learns(cluster, fresh, leader, token) == true, "it learns still");

  grpc::Status last;
  cluster.check(eventually([&] {
                  last = promote(follower, {Milliseconds(20000), {{"token", token}}, false});
                  return last.ok();
                }),
                "root promotes by way of a follower: " + last.error_message());
  cluster.check(learns(cluster, fresh, leader, token) == false, "it is a voter");
  std::cout << (cluster.ok() ? "ok" : "failed") << "\n";
  return cluster.ok() ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "Promotion in the name of a user.",
                                       keelson::cluster::run);
}
