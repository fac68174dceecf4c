// locks_test: Lock and Election where many want the same, go away while they wait, or ask a
// follower. What one client is answered, tests/compat compares with etcd.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/http.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using cluster::eventually;
using harness::CallOptions;
using harness::Client;
using harness::Milliseconds;
using harness::Server;
using harness::Stream;
namespace pb = etcdserverpb;

std::string binary;  // NOLINT: from the command line

constexpr char kLock[] = "/v3lockpb.Lock/Lock";
constexpr char kCampaign[] = "/v3electionpb.Election/Campaign";
constexpr Milliseconds kSoon{20000};

grpc::Status grant(Client& client, int64_t id) {
  pb::LeaseGrantRequest request;
  request.set_id(id);
  request.set_ttl(600);
  pb::LeaseGrantResponse response;
  return client.unary("/etcdserverpb.Lease/LeaseGrant", request, &response);
}

// A call on its way: nobody waits for its answer yet.
std::unique_ptr<Stream> begin(Client& client, const char* method,
                              const google::protobuf::Message& request,
                              const CallOptions& options = {.deadline = Milliseconds(120000)}) {
  std::unique_ptr<Stream> call = client.stream(method, options);
  // False: its time was up before, which its end tells.
  static_cast<void>(call->send(request.SerializeAsString()));
  call->half_close();
  return call;
}

std::unique_ptr<Stream> lock(Client& client, const std::string& name, int64_t lease,
                             const CallOptions& options = {.deadline = Milliseconds(120000)}) {
  v3lockpb::LockRequest request;
  request.set_name(name);
  request.set_lease(lease);
  return begin(client, kLock, request, options);
}

std::unique_ptr<Stream> campaign(Client& client, const std::string& name, int64_t lease) {
  v3electionpb::CampaignRequest request;
  request.set_name(name);
  request.set_lease(lease);
  request.set_value("v");
  return begin(client, kCampaign, request);
}

std::string locked(Stream& call) {
  const std::optional<std::string> answer = call.receive(kSoon);
  v3lockpb::LockResponse response;
  if (!answer || !response.ParseFromString(*answer)) return "no answer";
  return response.key();
}

grpc::Status unlock(Client& client, const std::string& key) {
  v3lockpb::UnlockRequest request;
  request.set_key(key);
  v3lockpb::UnlockResponse response;
  return client.unary("/v3lockpb.Lock/Unlock", request, &response);
}

int64_t in_line(Client& client, const std::string& name, const CallOptions& options = {}) {
  pb::RangeRequest request;
  request.set_key(name + "/");
  request.set_range_end(name + "0");
  request.set_count_only(true);
  pb::RangeResponse response;
  const grpc::Status status = client.unary("/etcdserverpb.KV/Range", request, &response, options);
  return status.ok() ? response.count() : -1;
}

class Locks : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = std::make_unique<Server>(
        harness::ServerOptions{.binary = binary, .flags = {}, .environment = {}});
    absl::Status started = server_->start();
    ASSERT_TRUE(started.ok()) << started;
  }
  Client& client() { return server_->client(); }

  // A row of /metrics; -1: there is none.
  double metric(const std::string& name) {
    absl::StatusOr<harness::HttpAnswer> page =
        harness::http_request(server_->address(), "GET", "/metrics");
    if (!page.ok()) return -1;
    const size_t at = page->body.find(cat("\n", name, " "));
    return at == std::string::npos ? -1 : std::atof(page->body.c_str() + at + 2 + name.size());
  }

  void grant_all(int count) {
    for (int i = 1; i <= count; ++i) ASSERT_TRUE(grant(client(), i).ok());
  }

  std::unique_ptr<Server> server_;
};

// A watcher each, and a release wakes one: the next.
TEST_F(Locks, ManyWaitInLineAndAReleaseWakesOne) {
  constexpr int kMany = 600;
  constexpr int kReleases = 20;
  grant_all(kMany);
  std::vector<std::unique_ptr<Stream>> calls;
  for (int i = 1; i <= kMany; ++i) {
    calls.push_back(lock(client(), "l", i));
    if (i > kReleases + 1) continue;  // only of those that get it does the order matter
    ASSERT_TRUE(eventually([&] { return in_line(client(), "l") == i; })) << i;
  }
  ASSERT_TRUE(eventually([&] { return in_line(client(), "l") == kMany; }));
  std::string key = locked(*calls[0]);
  EXPECT_EQ(key, "l/1");
  ASSERT_TRUE(eventually([&] { return metric("etcd_debugging_mvcc_watcher_total") == kMany - 1; }))
      << metric("etcd_debugging_mvcc_watcher_total");
  const double reads = metric("etcd_mvcc_range_total");
  for (int i = 1; i <= kReleases; ++i) {
    ASSERT_TRUE(unlock(client(), key).ok());
    key = locked(*calls[static_cast<size_t>(i)]);
    char next[32];
    std::snprintf(next, sizeof(next), "l/%x", i + 1);
    ASSERT_EQ(key, next);
  }
  // Who is next looks whether anybody is before it, and whether its own key is there still.
  EXPECT_LE(metric("etcd_mvcc_range_total") - reads, 2 * kReleases);
  EXPECT_EQ(metric("etcd_debugging_mvcc_watcher_total"), kMany - 1 - kReleases);

  // All who wait go at once, from the middle of the line too; the one who holds it stays.
  for (auto& call : calls) call->cancel();
  EXPECT_TRUE(eventually([&] { return in_line(client(), "l") == 1; })) << in_line(client(), "l");
  EXPECT_TRUE(eventually([&] { return metric("etcd_debugging_mvcc_watcher_total") == 0; }));
}

// Deadlines that end anywhere on the way: before the entry, in its commit, in the wait.
TEST_F(Locks, WhoComesTooLateLeavesNothing) {
  constexpr int kTries = 200;
  grant_all(1 + kTries);
  EXPECT_EQ(locked(*lock(client(), "l", 1)), "l/1");
  for (int i = 0; i < kTries; ++i) {
    auto call = lock(client(), "l", 2 + i, {.deadline = Milliseconds(1 + i % 7)});
    EXPECT_NE(call->finish().error_code(), grpc::StatusCode::OK);
  }
  EXPECT_TRUE(eventually([&] { return in_line(client(), "l") == 1; })) << in_line(client(), "l");
}

// The lease of one who brings none is nobody's when its call has ended.
TEST_F(Locks, ALeaseThatWasGrantedForACallGoesWithIt) {
  grant_all(1);
  EXPECT_EQ(locked(*lock(client(), "l", 1)), "l/1");
  auto waits = lock(client(), "l", 0);
  ASSERT_TRUE(eventually([&] { return in_line(client(), "l") == 2; }));
  waits->cancel();
  EXPECT_TRUE(eventually([&] {
    pb::LeaseLeasesResponse leases;
    return client()
               .unary("/etcdserverpb.Lease/LeaseLeases", pb::LeaseLeasesRequest(), &leases)
               .ok() &&
           leases.leases_size() == 1;
  }));
}

// etcd tells whoever waited that it leads, though its key went with its lease.
TEST_F(Locks, WhoLostItsLeaseDoesNotLead) {
  grant_all(2);
  ASSERT_TRUE(campaign(client(), "e", 1)->receive(kSoon).has_value());
  auto waits = campaign(client(), "e", 2);
  ASSERT_TRUE(eventually([&] { return in_line(client(), "e") == 2; }));
  pb::LeaseRevokeRequest revoke;
  pb::LeaseRevokeResponse revoked;
  for (int64_t lease : {2, 1}) {
    revoke.set_id(lease);
    ASSERT_TRUE(client().unary("/etcdserverpb.Lease/LeaseRevoke", revoke, &revoked).ok());
  }
  EXPECT_EQ(waits->finish().error_message(), "election: not leader");
}

// Who waits is sent elsewhere at once, and has its place there still.
TEST_F(Locks, AMemberThatEndsDoesNotWaitForLocks) {
  grant_all(2);
  EXPECT_EQ(locked(*lock(client(), "l", 1)), "l/1");
  auto waits = lock(client(), "l", 2);
  ASSERT_TRUE(eventually([&] { return in_line(client(), "l") == 2; }));
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(server_->stop().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(4));
  const grpc::Status status = waits->finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(status.error_message(), "etcdserver: server stopped");
  ASSERT_TRUE(server_->start().ok());
  EXPECT_EQ(in_line(client(), "l"), 2);
}

template <typename Response, typename Request>
Response must(Client& client, const std::string& path, const Request& request) {
  Response response;
  const grpc::Status status = client.unary("/etcdserverpb." + path, request, &response);
  EXPECT_TRUE(status.ok()) << path << ": " << status.error_message();
  return response;
}

void add_user(Client& client, const std::string& name) {
  pb::AuthUserAddRequest user;
  user.set_name(name);
  user.set_password("p");
  must<pb::AuthUserAddResponse>(client, "Auth/UserAdd", user);
  pb::AuthUserGrantRoleRequest role;
  role.set_user(name);
  role.set_role("root");
  must<pb::AuthUserGrantRoleResponse>(client, "Auth/UserGrantRole", role);
}

// What takes the key away when the call is over has the rights of its user.
TEST_F(Locks, AUsersPlaceGoesWithItsCall) {
  grant_all(2);
  add_user(client(), "root");
  must<pb::AuthEnableResponse>(client(), "Auth/AuthEnable", pb::AuthEnableRequest());
  pb::AuthenticateRequest login;
  login.set_name("root");
  login.set_password("p");
  const std::string token =
      must<pb::AuthenticateResponse>(client(), "Auth/Authenticate", login).token();
  const CallOptions as_root{.deadline = Milliseconds(60000), .metadata = {{"token", token}}};
  EXPECT_EQ(locked(*lock(client(), "l", 1, as_root)), "l/1");
  auto waits = lock(client(), "l", 2, as_root);
  ASSERT_TRUE(eventually([&] { return in_line(client(), "l", as_root) == 2; }));
  waits->cancel();
  EXPECT_TRUE(eventually([&] { return in_line(client(), "l", as_root) == 1; }));
}

TEST(LocksInAClusterOfThree, AnyMemberServesThem) {
  cluster::Cluster cluster({binary, binary, binary});
  cluster.start();
  ASSERT_TRUE(cluster.ok());
  Client& one = cluster.at((cluster.leader() + 1) % 3).client();
  Client& other = cluster.at((cluster.leader() + 2) % 3).client();
  for (int64_t lease : {1, 2, 3}) ASSERT_TRUE(grant(one, lease).ok());
  EXPECT_EQ(locked(*lock(one, "l", 1)), "l/1");
  auto second = lock(other, "l", 2);
  ASSERT_TRUE(eventually([&] { return in_line(one, "l") == 2; }));
  auto third = lock(one, "l", 3);
  ASSERT_TRUE(eventually([&] { return in_line(one, "l") == 3; }));
  second->cancel();
  ASSERT_TRUE(eventually([&] { return in_line(one, "l") == 2; }));
  ASSERT_TRUE(unlock(other, "l/1").ok());
  EXPECT_EQ(locked(*third), "l/3");

  v3electionpb::LeaderRequest who;
  who.set_name("e");
  auto observer = begin(other, "/v3electionpb.Election/Observe", who);
  ASSERT_TRUE(campaign(one, "e", 1)->receive(kSoon).has_value());
  const std::optional<std::string> told = observer->receive(kSoon);
  v3electionpb::LeaderResponse leader;
  ASSERT_TRUE(told && leader.ParseFromString(*told));
  EXPECT_EQ(leader.kv().key(), "e/1");
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
