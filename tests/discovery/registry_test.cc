// registry_test: members that find each other by a token in another cluster (v3 discovery): one of
// Keelson, and one of etcd where there is one. Who comes too late, to a registry that has no size,
// or with the wrong password does not start; who waits can be ended.

#include <iostream>
#include <memory>
#include <vector>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;
using Members = std::vector<std::unique_ptr<Server>>;

int failures = 0;

void check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::cout << "FAILED: " << what << "\n";
}

grpc::Status put(Server& server, const std::string& key, const std::string& value) {
  pb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  pb::PutResponse response;
  return server.client().unary("/etcdserverpb.KV/Put", request, &response);
}

void expect_size(Server& registry, const std::string& token, int size) {
  check(put(registry, "/_etcd/registry/" + token + "/_config/size", cat(size)).ok(),
        "the size of " + token);
}

std::vector<std::string> flags_for(const std::string& endpoint, const std::string& token) {
  return {"--initial-cluster=", "--discovery-endpoints=" + endpoint, "--discovery-token=" + token};
}

std::unique_ptr<Server> member(const std::string& binary, int i, std::vector<std::string> flags) {
  auto made = std::make_unique<Server>(
      harness::ServerOptions{.binary = binary, .flags = std::move(flags), .name = cat("m", i)});
  made->prepare();
  return made;
}

bool says(Server& server, const std::string& text) {
  return eventually([&] { return server.log_tail().find(text) != std::string::npos; });
}

// It ends by itself, and says why.
void expect_refused(const std::string& binary, const std::vector<std::string>& flags,
                    const std::string& why) {
  const std::unique_ptr<Server> refused = member(binary, 9, flags);
  check(refused->launch().ok(), "a start");
  check(eventually([&] { return refused->exited(); }), "it ends: " + why);
  check(refused->log_tail().find(why) != std::string::npos,
        "it says " + why + ":\n" + refused->log_tail());
}

// Three members found one cluster; they are there after a start without the registry, too.
Members found(const std::string& binary, Server& registry, const std::string& token,
              const std::string& endpoint) {
  expect_size(registry, token, 3);
  Members members;
  for (int i = 0; i < 3; ++i) {
    members.push_back(member(binary, i, flags_for(endpoint, token)));
    check(members.back()->launch().ok(), "launch");
  }
  for (const auto& one : members) {
    const absl::Status started = one->start();
    check(started.ok(), cat("a start: ", message_of(started), "\n", one->log_tail()));
  }
  if (failures > 0) return members;
  check(put(*members[0], "key", "value").ok(), "a put");
  pb::MemberListResponse list;
  check(members[2]
            ->client()
            .unary("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest(), &list)
            .ok(),
        "a list of the members");
  check(list.members_size() == 3, cat("three members: ", list.members_size()));
  expect_refused(binary, flags_for(endpoint, token),
                 "failed to join discovery cluster (discovery: cluster is full)");
  return members;
}

void enable_users(Server& registry) {
  const auto call = [&](const std::string& rpc, const google::protobuf::Message& request,
                        google::protobuf::Message* response) {
    check(registry.client().unary("/etcdserverpb.Auth/" + rpc, request, response).ok(), rpc);
  };
  pb::AuthUserAddRequest user;
  user.set_name("root");
  user.set_password("secret");
  pb::AuthUserAddResponse added;
  call("UserAdd", user, &added);
  pb::AuthUserGrantRoleRequest grant;
  grant.set_user("root");
  grant.set_role("root");
  pb::AuthUserGrantRoleResponse granted;
  call("UserGrantRole", grant, &granted);
  pb::AuthEnableResponse enabled;
  call("AuthEnable", pb::AuthEnableRequest(), &enabled);
}

void expect_login(const std::string& binary, Server& registry) {
  expect_size(registry, "users", 1);
  enable_users(registry);
  std::vector<std::string> flags = flags_for(registry.address(), "users");
  flags.push_back("--discovery-user=root:secret");
  const std::unique_ptr<Server> one = member(binary, 0, flags);
  const absl::Status started = one->start();
  check(started.ok(), cat("a start as root: ", message_of(started), "\n", one->log_tail()));
}

int run(const std::string& binary) {
  Server registry({.binary = binary, .https_too = true, .name = "registry"});
  check(registry.start().ok(), "the registry starts");
  expect_refused(binary, flags_for(registry.address(), "unknown"), "discovery: size key not found");
  check(put(registry, "/_etcd/registry/bad/_config/size", "three").ok(), "a bad size");
  expect_refused(binary, flags_for(registry.address(), "bad"), "discovery: size key is bad");

  // The first endpoint is of nobody. By TLS, believing everything.
  std::vector<std::string> tls =
      flags_for(cat("https://", harness::free_address(), ",https://", registry.address()), "tls");
  tls.push_back("--discovery-insecure-skip-tls-verify");
  expect_size(registry, "tls", 2);
  const std::unique_ptr<Server> waiting = member(binary, 0, tls);
  check(waiting->launch().ok(), "launch");
  check(says(*waiting, "waiting for peers from discovery service"), "it waits for the other");
  check(waiting->stop(Milliseconds(10000)).ok(), "who waits can be ended");

  Members members = found(binary, registry, "three", registry.address());
  expect_login(binary, registry);
  if (failures == 0) {
    registry.kill();
    check(members[1]->stop().ok(), "a member stops");
    const absl::Status again = members[1]->start();
    check(again.ok(), cat("it comes back without the registry: ", message_of(again)));
    check(members[1]->log_tail().find("discovery token is ignored") != std::string::npos,
          "it says that the token is ignored");
  }
  members.clear();

  const std::string etcd = harness::find_etcd("", KEELSON_SOURCE_DIR);
  if (etcd.empty()) {
    std::cout << "no etcd to be the registry\n";
  } else {
    Server theirs({.binary = etcd, .name = "registry"});
    check(theirs.start().ok(), "etcd starts");
    found(binary, theirs, "theirs", theirs.client_url());
  }
  std::cout << (failures == 0 ? "ok" : "failed") << "\n";
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "Members that find each other by a token.",
                                       keelson::cluster::run);
}
