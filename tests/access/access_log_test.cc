// access_log_test: a server with --keelson-access-log, and what the log says of each call: through
// gRPC, through the gateway, streams, Lock and Election, users.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proto/v3lock.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/http.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using harness::CallOptions;
using harness::Milliseconds;
using harness::Server;
using nlohmann::json;
namespace pb = etcdserverpb;

std::string binary;  // NOLINT: from the command line

constexpr char kSecret[] = "TOPSECRET";
constexpr Milliseconds kPatience{30000};

class AccessLog : public ::testing::Test {
 protected:
  AccessLog() : dir_(cat(testing::TempDir(), "access-log-", getpid())) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  ~AccessLog() override { std::filesystem::remove_all(dir_); }

  void start(std::vector<std::string> flags = {"--keelson-access-log-keys"}) {
    flags.push_back(cat("--keelson-access-log=", target_));
    server_ = std::make_unique<Server>(
        harness::ServerOptions{.binary = binary, .flags = std::move(flags), .environment = {}});
    const absl::Status started = server_->start();
    ASSERT_TRUE(started.ok()) << started;
  }
  grpc::Status ask(const std::string& method, const google::protobuf::Message& request,
                   google::protobuf::Message* answer, const std::string& token = "") {
    CallOptions options;
    if (!token.empty()) options.metadata.emplace("token", token);
    return server_->client().unary(method, request, answer, options);
  }
  // Ends the server; every line of the log, in order.
  std::vector<json> lines() {
    EXPECT_TRUE(server_->stop().ok());
    std::vector<json> all;
    std::istringstream in(text());
    for (std::string line; std::getline(in, line);) {
      json parsed = json::parse(line, nullptr, false);
      EXPECT_FALSE(parsed.is_discarded()) << line;
      all.push_back(std::move(parsed));
    }
    return all;
  }
  std::string text() const {
    std::ifstream file(target_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Of one method.
  static std::vector<json> of(const std::vector<json>& lines, const std::string& method) {
    std::vector<json> some;
    for (const json& line : lines) {
      if (line.value("method", "") == method) some.push_back(line);
    }
    return some;
  }

  const std::string dir_;
  std::string target_ = dir_ + "/access.log";
  std::unique_ptr<Server> server_;
};

TEST_F(AccessLog, HasALineForEachCall) {
  start();
  pb::PutRequest put;
  put.set_key("key");
  put.set_value(kSecret);
  pb::PutResponse put_answer;
  ASSERT_TRUE(ask("/etcdserverpb.KV/Put", put, &put_answer).ok());
  pb::RangeRequest range;
  range.set_key("key");
  range.set_range_end("kez");
  range.set_revision(100);
  pb::RangeResponse range_answer;
  EXPECT_EQ(ask("/etcdserverpb.KV/Range", range, &range_answer).error_code(),
            grpc::StatusCode::OUT_OF_RANGE);
  const auto through_gateway = harness::http_request(
      server_->address(), "POST", "/v3/kv/put", R"({"key":"Z2F0ZQ==","value":"VE9QU0VDUkVU"})");
  ASSERT_TRUE(through_gateway.ok());
  ASSERT_EQ(through_gateway->code, 200) << through_gateway->body;
  v3lockpb::LockRequest lock;
  lock.set_name("lock");
  v3lockpb::LockResponse lock_answer;
  ASSERT_TRUE(ask("/v3lockpb.Lock/Lock", lock, &lock_answer).ok());

  const std::vector<json> all = lines();
  const std::vector<json> puts = of(all, "/etcdserverpb.KV/Put");
  ASSERT_EQ(puts.size(), 2u) << text();
  EXPECT_EQ(puts[0]["key"], "key");
  EXPECT_EQ(puts[0]["code"], "OK");
  EXPECT_EQ(puts[0]["received"], 1);
  EXPECT_EQ(puts[0]["received_bytes"], put.ByteSizeLong());
  EXPECT_EQ(puts[0]["sent"], 1);
  EXPECT_GT(puts[0]["sent_bytes"], 0);
  EXPECT_GT(puts[0]["duration_ms"], 0);
  EXPECT_TRUE(puts[0]["remote"].get<std::string>().starts_with("127.0.0.1:"));
  EXPECT_FALSE(puts[0].contains("gateway"));
  EXPECT_EQ(puts[1]["key"], "gate");
  EXPECT_EQ(puts[1]["gateway"], true);
  const std::vector<json> ranges = of(all, "/etcdserverpb.KV/Range");
  const json& refused = ranges.back();
  EXPECT_EQ(refused["key"], "key");
  EXPECT_EQ(refused["range_end"], "kez");
  EXPECT_EQ(refused["code"], "OUT_OF_RANGE");
  EXPECT_EQ(refused["sent"], 0);
  const std::vector<json> locks = of(all, "/v3lockpb.Lock/Lock");
  ASSERT_EQ(locks.size(), 1u);
  EXPECT_EQ(locks[0]["key"], "lock");
  EXPECT_EQ(text().find(kSecret), std::string::npos);
}

TEST_F(AccessLog, TellsWhenAStreamBeginsAndEnds) {
  start();
  {
    auto watch = server_->client().stream("/etcdserverpb.Watch/Watch");
    for (const char* key : {"a", "b"}) {
      pb::WatchRequest create;
      create.mutable_create_request()->set_key(key);
      ASSERT_TRUE(watch->send(create.SerializeAsString()));
      ASSERT_TRUE(watch->receive(kPatience));
    }
  }
  const std::vector<json> watches = of(lines(), "/etcdserverpb.Watch/Watch");
  ASSERT_EQ(watches.size(), 4u) << text();
  EXPECT_EQ(watches[0]["event"], "begin");
  EXPECT_FALSE(watches[0].contains("code"));
  EXPECT_EQ(watches[1]["event"], "watch");
  EXPECT_EQ(watches[1]["key"], "a");
  EXPECT_EQ(watches[2]["key"], "b");
  EXPECT_EQ(watches[3]["event"], "end");
  EXPECT_EQ(watches[3]["code"], "CANCELLED");
  EXPECT_EQ(watches[3]["received"], 2);
  EXPECT_EQ(watches[3]["sent"], 2);
}

TEST_F(AccessLog, NamesUsersAndKeepsTheirSecrets) {
  start();
  const std::string prefix = "/etcdserverpb.Auth/";
  pb::AuthUserAddRequest user;
  user.set_name("root");
  user.set_password(kSecret);
  pb::AuthUserAddResponse user_answer;
  ASSERT_TRUE(ask(prefix + "UserAdd", user, &user_answer).ok());
  pb::AuthRoleAddRequest role;
  role.set_name("root");
  pb::AuthRoleAddResponse role_answer;
  ask(prefix + "RoleAdd", role, &role_answer);
  pb::AuthUserGrantRoleRequest grant;
  grant.set_user("root");
  grant.set_role("root");
  pb::AuthUserGrantRoleResponse grant_answer;
  ASSERT_TRUE(ask(prefix + "UserGrantRole", grant, &grant_answer).ok());
  pb::AuthEnableRequest enable;
  pb::AuthEnableResponse enable_answer;
  ASSERT_TRUE(ask(prefix + "AuthEnable", enable, &enable_answer).ok());
  pb::AuthenticateRequest login;
  login.set_name("root");
  login.set_password(kSecret);
  pb::AuthenticateResponse logged_in;
  ASSERT_TRUE(ask(prefix + "Authenticate", login, &logged_in).ok());
  pb::PutRequest put;
  put.set_key("mine");
  pb::PutResponse put_answer;
  ASSERT_TRUE(ask("/etcdserverpb.KV/Put", put, &put_answer, logged_in.token()).ok());
  EXPECT_FALSE(ask("/etcdserverpb.KV/Put", put, &put_answer, "no token").ok());

  const std::vector<json> all = lines();
  const std::vector<json> puts = of(all, "/etcdserverpb.KV/Put");
  ASSERT_EQ(puts.size(), 2u) << text();
  EXPECT_EQ(puts[0]["user"], "root");
  EXPECT_FALSE(puts[1].contains("user"));
  EXPECT_EQ(puts[1]["code"], "UNAUTHENTICATED");
  const std::vector<json> logins = of(all, prefix + "Authenticate");
  ASSERT_EQ(logins.size(), 1u);
  EXPECT_EQ(logins[0]["name"], "root");
  EXPECT_EQ(text().find(kSecret), std::string::npos);
  EXPECT_EQ(text().find(logged_in.token()), std::string::npos);
}

TEST_F(AccessLog, HasNoKeysUnlessTheyAreAskedFor) {
  start({});
  pb::PutRequest put;
  put.set_key("whatever-it-is");
  pb::PutResponse put_answer;
  ASSERT_TRUE(ask("/etcdserverpb.KV/Put", put, &put_answer).ok());
  ASSERT_EQ(of(lines(), "/etcdserverpb.KV/Put").size(), 1u);
  EXPECT_EQ(text().find("whatever-it-is"), std::string::npos);
}

// All of its writes fail.
TEST_F(AccessLog, AFullDiskHarmsNobody) {
  target_ = "/dev/full";
  start();
  pb::PutRequest put;
  put.set_key("key");
  pb::PutResponse put_answer;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(ask("/etcdserverpb.KV/Put", put, &put_answer).ok());
  const std::string row = "\nkeelson_access_log_lines_total{what=\"dropped\"} ";
  double dropped = 0;
  while (dropped < 100) {
    const auto page = harness::http_request(server_->address(), "GET", "/metrics");
    ASSERT_TRUE(page.ok());
    const size_t at = page->body.find(row);
    ASSERT_NE(at, std::string::npos);
    dropped = std::atof(page->body.c_str() + at + row.size());
  }
  EXPECT_TRUE(server_->stop().ok());
}

TEST_F(AccessLog, AFileThatCannotBeOpenedIsAnErrorAtTheStart) {
  Server server({.binary = binary,
                 .flags = {cat("--keelson-access-log=", dir_, "/no/such/file")},
                 .environment = {}});
  EXPECT_FALSE(server.start().ok());
  EXPECT_NE(server.log_tail().find("couldn't open access log"), std::string::npos)
      << server.log_tail();
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
