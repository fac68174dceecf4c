// auth_door_test: logins as clients see them: by the clock, under a flood, with tokens of either
// sort, and in what the server writes down.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <sstream>
#include <thread>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
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
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--server") keelson::binary = argv[i + 1];
  }
  if (keelson::binary.empty()) return 2;
  keelson::binary = std::filesystem::absolute(keelson::binary);
  return RUN_ALL_TESTS();
}
