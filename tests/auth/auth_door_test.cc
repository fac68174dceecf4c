// auth_door_test: logins as clients see them: by the clock, under a flood, with tokens of either
// sort, and in what the server writes down.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

namespace pb = etcdserverpb;
using harness::CallOptions;
using harness::Client;
using harness::Milliseconds;
using harness::Server;

std::string binary;  // NOLINT: from the command line

template <typename Response, typename Request>
grpc::Status call(Client& client, const std::string& path, const Request& request,
                  const std::string& token = "", Response* response = nullptr) {
  CallOptions options;
  if (!token.empty()) options.metadata.emplace("token", token);
  Response ignored;
  return client.unary("/etcdserverpb." + path, request, response ? response : &ignored, options);
}

grpc::Status log_in(Client& client, const std::string& name, const std::string& password,
                    std::string* token = nullptr) {
  pb::AuthenticateRequest request;
  request.set_name(name);
  request.set_password(password);
  pb::AuthenticateResponse response;
  const grpc::Status status = call(client, "Auth/Authenticate", request, "", &response);
  if (token) *token = response.token();
  return status;
}

grpc::Status add_user(Client& client, const std::string& name, const std::string& password,
                      const std::string& token = "") {
  pb::AuthUserAddRequest request;
  request.set_name(name);
  request.set_password(password);
  return call<pb::AuthUserAddResponse>(client, "Auth/UserAdd", request, token);
}

class AuthDoor : public testing::Test {
 protected:
  // With root, whose password is `password`, and authentication enabled.
  void start(std::vector<std::string> flags, const std::string& password = "rootpass") {
    server_ = std::make_unique<Server>(
        harness::ServerOptions{.binary = binary, .flags = std::move(flags), .environment = {}});
    ASSERT_TRUE(server_->start().ok()) << server_->log_tail();
    ASSERT_TRUE(add_user(client(), "root", password).ok());
    pb::AuthUserGrantRoleRequest grant;
    grant.set_user("root");
    grant.set_role("root");
    ASSERT_TRUE(call<pb::AuthUserGrantRoleResponse>(client(), "Auth/UserGrantRole", grant).ok());
    ASSERT_TRUE(
        call<pb::AuthEnableResponse>(client(), "Auth/AuthEnable", pb::AuthEnableRequest()).ok());
  }
  Client& client() { return server_->client(); }

  std::unique_ptr<Server> server_;
};

// What the server's process has computed so far, in ticks of the kernel's clock.
int64_t computed(int pid) {
  std::ifstream stat(cat("/proc/", pid, "/stat"));
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream behind_name(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 0; i < 11; ++i) behind_name >> field;  // up to the time in user mode
  int64_t user = 0, system = 0;
  behind_name >> user >> system;
  return user + system;
}

// By what is computed: a clock would measure the machine as well.
TEST_F(AuthDoor, WhoIsNotThereTakesAsLong) {
  start({"--bcrypt-cost=11"});
  const auto cost_of = [&](const std::string& user, grpc::Status* status) {
    const int64_t before = computed(server_->pid());
    for (int i = 0; i < 5; ++i) *status = log_in(client(), user, "wrong");
    return computed(server_->pid()) - before;
  };
  grpc::Status known, unknown;
  const int64_t right = cost_of("root", &known), nobody = cost_of("nobody", &unknown);
  EXPECT_EQ(known.error_message(), unknown.error_message());
  EXPECT_EQ(known.error_code(), unknown.error_code());
  EXPECT_GT(right, 0);
  EXPECT_GT(nobody, right / 2) << right;
  EXPECT_LT(nobody, right * 2) << right;
}

bool is_in(const std::filesystem::path& file, const std::string& text) {
  std::ifstream in(file, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(in), {}};
  return content.find(text) != std::string::npos;
}

TEST_F(AuthDoor, NoSecretIsWrittenDown) {
  start({"--bcrypt-cost=4", "--log-level=debug"}, "hunter2-root");
  std::string token;
  ASSERT_TRUE(log_in(client(), "root", "hunter2-root", &token).ok());
  EXPECT_FALSE(log_in(client(), "root", "hunter2-wrong").ok());
  EXPECT_FALSE(log_in(client(), "nobody", "hunter2-nobody").ok());
  EXPECT_TRUE(add_user(client(), "u", "hunter2-user", token).ok());
  EXPECT_FALSE(add_user(client(), "u", "hunter2-twice", token).ok());
  EXPECT_FALSE(add_user(client(), "v", "hunter2-denied").ok());
  EXPECT_FALSE(add_user(client(), "v", std::string(80, 'x') + "hunter2-long", token).ok());
  pb::AuthUserAddRequest with_none;
  with_none.set_name("w");
  with_none.set_password("hunter2-none");
  with_none.mutable_options()->set_no_password(true);
  EXPECT_TRUE(call<pb::AuthUserAddResponse>(client(), "Auth/UserAdd", with_none, token).ok());
  pb::AuthUserChangePasswordRequest change;
  change.set_name("u");
  change.set_password("hunter2-changed");
  EXPECT_TRUE(
      call<pb::AuthUserChangePasswordResponse>(client(), "Auth/UserChangePassword", change, token)
          .ok());
  pb::RangeRequest range;
  range.set_key("a");
  const grpc::Status refused =
      call<pb::RangeResponse>(client(), "KV/Range", range, "hunter2-token.1");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(refused.error_message(), "etcdserver: invalid auth token");
  ASSERT_TRUE(server_->stop().ok());
  const std::string log = server_->log_tail();
  EXPECT_EQ(log.find("hunter2"), std::string::npos) << log;
  EXPECT_EQ(log.find(token.substr(0, 16)), std::string::npos) << log;
  EXPECT_NE(log.find("token-fingerprint"), std::string::npos) << log;
  int files = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(server_->data_dir())) {
    if (!file.is_regular_file()) continue;
    ++files;
    EXPECT_FALSE(is_in(file.path(), "hunter2")) << file.path();
  }
  EXPECT_GT(files, 2);
}

// One connection asks for more than its share: it is refused some, and others log in meanwhile.
TEST_F(AuthDoor, AFloodOfLoginsKeepsNobodyOut) {
  start({"--bcrypt-cost=10"});
  Client attacker(server_->address());
  std::vector<std::future<grpc::Status>> flood;
  for (int i = 0; i < 120; ++i) {
    flood.push_back(std::async(
        std::launch::async, [&attacker, i] { return log_in(attacker, cat("user", i), "guess"); }));
  }
  // Each of ours waits for one of theirs at most: were there a single queue, for all that wait.
  for (int i = 0; i < 3; ++i) {
    Client other(server_->address());
    EXPECT_TRUE(log_in(other, "root", "rootpass").ok());
  }
  int waiting = 0, refused = 0;
  for (auto& one : flood) {
    if (one.wait_for(Milliseconds(0)) != std::future_status::ready) ++waiting;
  }
  EXPECT_GT(waiting, 0) << "the flood was over before";
  for (auto& one : flood) {
    if (one.get().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST_F(AuthDoor, TokensThatSayWhoseTheyAre) {
  const std::filesystem::path key =
      std::filesystem::temp_directory_path() / cat("keelson-auth-", getpid());
  std::ofstream(key) << "a secret of some length";
  start({"--bcrypt-cost=4",
         cat("--auth-token=jwt,priv-key=", key.string(), ",sign-method=HS256,ttl=10m")});
  std::string token, user;
  ASSERT_TRUE(log_in(client(), "root", "rootpass", &token).ok());
  EXPECT_EQ(std::count(token.begin(), token.end(), '.'), 2);
  pb::AuthUserListResponse list;
  EXPECT_TRUE(call(client(), "Auth/UserList", pb::AuthUserListRequest(), token, &list).ok());
  EXPECT_EQ(list.users_size(), 1);
  // It outlives a start, but not a change of the rules: it names their revision.
  ASSERT_TRUE(server_->stop().ok());
  ASSERT_TRUE(server_->start().ok()) << server_->log_tail();
  EXPECT_TRUE(call(client(), "Auth/UserList", pb::AuthUserListRequest(), token, &list).ok());
  ASSERT_TRUE(add_user(client(), "u", "p", token).ok());
  ASSERT_TRUE(log_in(client(), "u", "p", &user).ok());
  pb::RangeRequest range;
  range.set_key("a");
  EXPECT_EQ(call<pb::RangeResponse>(client(), "KV/Range", range, token).error_message(),
            "etcdserver: revision of auth store is old");
  EXPECT_EQ(call<pb::RangeResponse>(client(), "KV/Range", range, user).error_message(),
            "etcdserver: permission denied");
  EXPECT_EQ(call<pb::RangeResponse>(client(), "KV/Range", range, user + "x").error_message(),
            "etcdserver: invalid auth token");
  ASSERT_TRUE(log_in(client(), "root", "rootpass", &token).ok());
  EXPECT_TRUE(call<pb::RangeResponse>(client(), "KV/Range", range, token).ok());
  std::filesystem::remove(key);
}

// Leases of somebody who is not root: what hangs on them is held against the rules, for many keys
// on a worker.
class UsersLeases : public AuthDoor {
 protected:
  static constexpr int kFew = 3, kMany = 3000;

  // The user "u" may read and write below "u/"; `token_` is theirs, `root_` root's.
  void SetUp() override {
    start({"--bcrypt-cost=4"});
    ASSERT_TRUE(log_in(client(), "root", "rootpass", &root_).ok());
    pb::AuthRoleAddRequest role;
    role.set_name("r");
    ASSERT_TRUE(call<pb::AuthRoleAddResponse>(client(), "Auth/RoleAdd", role, root_).ok());
    pb::AuthRoleGrantPermissionRequest grant;
    grant.set_name("r");
    grant.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
    grant.mutable_perm()->set_key("u/");
    grant.mutable_perm()->set_range_end("u0");
    ASSERT_TRUE(call<pb::AuthRoleGrantPermissionResponse>(client(), "Auth/RoleGrantPermission",
                                                          grant, root_)
                    .ok());
    ASSERT_TRUE(add_user(client(), "u", "upass", root_).ok());
    pb::AuthUserGrantRoleRequest has;
    has.set_user("u");
    has.set_role("r");
    ASSERT_TRUE(
        call<pb::AuthUserGrantRoleResponse>(client(), "Auth/UserGrantRole", has, root_).ok());
    ASSERT_TRUE(log_in(client(), "u", "upass", &token_).ok());
  }

  void grant(int64_t id, int keys) {
    pb::LeaseGrantRequest lease;
    lease.set_id(id);
    lease.set_ttl(3000);
    ASSERT_TRUE(call<pb::LeaseGrantResponse>(client(), "Lease/LeaseGrant", lease, root_).ok());
    for (int i = 0; i < keys;) {
      pb::TxnRequest txn;
      for (int n = 0; n < 100 && i < keys; ++n, ++i) {
        attach(cat("u/", id, "/", i), id, txn.add_success()->mutable_request_put());
      }
      ASSERT_TRUE(call<pb::TxnResponse>(client(), "KV/Txn", txn, root_).ok());
    }
  }
  static void attach(const std::string& key, int64_t id, pb::PutRequest* put) {
    put->set_key(key);
    put->set_lease(id);
  }
  // A key that "u" may do nothing with.
  void attach_foreign(int64_t id) {
    pb::PutRequest put;
    attach(cat("else/", id), id, &put);
    ASSERT_TRUE(call<pb::PutResponse>(client(), "KV/Put", put, root_).ok());
  }

  std::unique_ptr<harness::Stream> renewals() {
    CallOptions options;
    options.metadata.emplace("token", token_);
    return client().stream("/etcdserverpb.Lease/LeaseKeepAlive", options);
  }
  static std::string renewal(int64_t id) {
    pb::LeaseKeepAliveRequest request;
    request.set_id(id);
    return request.SerializeAsString();
  }

  std::string root_, token_;
};

TEST_F(UsersLeases, KeysAreHeldAgainstTheRulesHoweverManyThereAre) {
  constexpr Milliseconds kPatience{60'000};
  int64_t id = 100;
  for (const int keys : {0, kFew, kMany}) {
    SCOPED_TRACE(keys);
    grant(++id, keys);
    auto stream = renewals();
    ASSERT_TRUE(stream->send(renewal(id)));
    std::optional<std::string> told = stream->receive(kPatience);
    ASSERT_TRUE(told.has_value());
    pb::LeaseKeepAliveResponse renewed;
    ASSERT_TRUE(renewed.ParseFromString(*told));
    EXPECT_EQ(renewed.id(), id);
    EXPECT_EQ(renewed.ttl(), 3000);
    pb::LeaseLeasesResponse all;
    EXPECT_TRUE(call(client(), "Lease/LeaseLeases", pb::LeaseLeasesRequest(), token_, &all).ok());
    EXPECT_EQ(all.leases_size(), static_cast<int>(id - 100));
    pb::LeaseTimeToLiveRequest ask;
    ask.set_id(id);
    ask.set_keys(true);
    pb::LeaseTimeToLiveResponse times;
    EXPECT_TRUE(call(client(), "Lease/LeaseTimeToLive", ask, token_, &times).ok());
    EXPECT_EQ(times.keys_size(), keys);
  }
  for (; id > 100; --id) {
    SCOPED_TRACE(id);
    attach_foreign(id);
    auto stream = renewals();
    ASSERT_TRUE(stream->send(renewal(id)));
    EXPECT_FALSE(stream->receive(kPatience).has_value());
    EXPECT_EQ(stream->finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_EQ(call<pb::LeaseLeasesResponse>(client(), "Lease/LeaseLeases", pb::LeaseLeasesRequest(),
                                            token_)
                  .error_code(),
              grpc::StatusCode::PERMISSION_DENIED);
  }
}

// What is on its way to the apply lane or to a worker for a stream outlives the stream.
TEST_F(UsersLeases, AStreamMayEndWhileItsRenewalsAreLookedAt) {
  grant(1, kFew);
  grant(2, kMany);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::unique_ptr<harness::Stream>> streams;
    for (int i = 0; i < 8; ++i) {
      streams.push_back(renewals());
      for (int n = 0; n < 40; ++n) ASSERT_TRUE(streams.back()->send(renewal(1 + n % 2)));
    }
    for (auto& stream : streams) stream->cancel();
    for (auto& stream : streams) stream->finish();
  }
  pb::RangeRequest range;
  range.set_key("u/1/0");
  EXPECT_TRUE(call<pb::RangeResponse>(client(), "KV/Range", range, token_).ok());
}

TEST_F(AuthDoor, BadOptionsAreRefusedAtTheStart) {
  for (const char* option : {"--auth-token=nonsense", "--auth-token=jwt", "--auth-token=simple,x",
                             "--auth-token=jwt,sign-method=RS256",
                             "--auth-token=jwt,sign-method=HS256,priv-key=/nowhere"}) {
    Server server({.binary = binary, .flags = {option}, .environment = {}});
    EXPECT_FALSE(server.start(Milliseconds(20000)).ok()) << option;
    EXPECT_NE(server.log_tail().find("auth: "), std::string::npos) << server.log_tail();
  }
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
