// calls_test: calls that touch very much, or come very many at once, through gRPC: lists of leases,
// hashes, deletions. Programs without a network test the same parts alone; here they are asked the
// way that clients ask.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "base/text.h"
#include "proto/health.pb.h"
#include "proto/rpc.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using harness::CallOptions;
using harness::Client;
using harness::Milliseconds;
using harness::Reply;
using harness::Server;
using harness::Stream;
namespace pb = etcdserverpb;

std::string binary;  // NOLINT: from the command line

constexpr char kHash[] = "/etcdserverpb.Maintenance/Hash";
constexpr char kHashKv[] = "/etcdserverpb.Maintenance/HashKV";
constexpr char kList[] = "/etcdserverpb.Lease/LeaseLeases";
constexpr char kGrant[] = "/etcdserverpb.Lease/LeaseGrant";
constexpr char kRevoke[] = "/etcdserverpb.Lease/LeaseRevoke";
// Of a queue of hashes: one that runs, and those that wait.
constexpr int kMostHashes = 9;

class Calls : public ::testing::Test {
 protected:
  void start(std::vector<std::string> environment = {}, std::vector<std::string> flags = {}) {
    server_ = std::make_unique<Server>(harness::ServerOptions{
        .binary = binary, .flags = std::move(flags), .environment = std::move(environment)});
    absl::Status started = server_->start();
    ASSERT_TRUE(started.ok()) << started;
  }
  Client& client() { return server_->client(); }

  // `work(i)` for each i below `count`, on several threads.
  static void side_by_side(int count, int threads, const std::function<void(int)>& work) {
    std::atomic<int> next{0};
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&] {
        for (int i = next++; i < count; i = next++) work(i);
      });
    }
    for (std::thread& thread : running) thread.join();
  }

  void put_keys(int count, std::string_view prefix, int64_t lease = 0) {
    constexpr int kOps = 128;  // --max-txn-ops
    std::atomic<int> failed{0};
    side_by_side((count + kOps - 1) / kOps, 4, [&](int batch) {
      pb::TxnRequest txn;
      for (int i = batch * kOps; i < std::min(count, (batch + 1) * kOps); ++i) {
        pb::PutRequest* put = txn.add_success()->mutable_request_put();
        put->set_key(cat(prefix, i));
        put->set_value(std::string(20, 'v'));
        put->set_lease(lease);
      }
      pb::TxnResponse answer;
      failed += !client().unary("/etcdserverpb.KV/Txn", txn, &answer).ok();
    });
    ASSERT_EQ(failed, 0);
  }

  pb::RangeResponse count(std::string_view from, std::string_view to) {
    pb::RangeRequest request;
    request.set_key(std::string(from));
    request.set_range_end(std::string(to));
    request.set_count_only(true);
    pb::RangeResponse answer;
    grpc::Status status = client().unary("/etcdserverpb.KV/Range", request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return answer;
  }

  bool grant(int64_t id) {
    pb::LeaseGrantRequest request;
    request.set_id(id);
    request.set_ttl(3600);
    pb::LeaseGrantResponse answer;
    return client().unary(kGrant, request, &answer).ok() && answer.id() == id;
  }
  bool revoke(int64_t id) {
    pb::LeaseRevokeRequest request;
    request.set_id(id);
    pb::LeaseRevokeResponse answer;
    return client().unary(kRevoke, request, &answer).ok();
  }
  // Everybody, in the order given; empty when the call failed.
  std::vector<int64_t> leases() {
    pb::LeaseLeasesResponse answer;
    grpc::Status status = client().unary(kList, pb::LeaseLeasesRequest(), &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<int64_t> ids;
    for (const pb::LeaseStatus& lease : answer.leases()) ids.push_back(lease.id());
    return ids;
  }

  // A call on its way: nobody waits for its answer yet.
  std::unique_ptr<Stream> begin(const char* method) {
    std::unique_ptr<Stream> call = client().stream(method);
    EXPECT_TRUE(call->send(""));
    call->half_close();
    return call;
  }

  std::unique_ptr<Server> server_;
};

// Above 512 a list is sorted and encoded by a worker.
TEST_F(Calls, ListsOfLeasesAreWholeAtEverySize) {
  start();
  int granted = 0;
  for (int size : {0, 1, 511, 512, 513, 5000}) {
    std::atomic<int> failed{0};
    side_by_side(size - granted, 8, [&](int i) { failed += !grant(granted + i + 1); });
    ASSERT_EQ(failed, 0);
    granted = size;
    std::vector<int64_t> ids = leases();
    EXPECT_EQ(ids.size(), static_cast<size_t>(size));
    std::sort(ids.begin(), ids.end());
    for (int i = 0; i < static_cast<int>(ids.size()); ++i) ASSERT_EQ(ids[i], i + 1) << size;
  }
}

// Each list is of one moment: who is there all the time is in it once, whatever comes and goes.
// Whom a revocation moves to the free place are the even ones, too.
TEST_F(Calls, ListsOfLeasesAreOfOneMoment) {
  start();
  constexpr int kLeases = 4000;
  std::atomic<int> failed{0};
  side_by_side(kLeases, 8, [&](int i) { failed += !grant(i + 1); });
  ASSERT_EQ(failed, 0);
  std::atomic<bool> over{false};
  std::thread changing([&] {
    for (int64_t id = 1; !over; id += 2) {
      failed += !revoke(id);
      failed += !grant(id + kLeases);
    }
  });
  side_by_side(300, 8, [&](int) {
    std::vector<int64_t> ids = leases();
    const std::set<int64_t> distinct(ids.begin(), ids.end());
    const auto stayed = std::count_if(distinct.begin(), distinct.end(),
                                      [](int64_t id) { return id <= kLeases && id % 2 == 0; });
    failed += distinct.size() != ids.size() || stayed != kLeases / 2;
    failed += ids.size() < kLeases - 1 || ids.size() > kLeases;
  });
  over = true;
  changing.join();
  EXPECT_EQ(failed, 0);
}

// The first slice takes its time, so that everybody is there before it is over.
TEST_F(Calls, OfManyHashesNineAreTakenAndTheOthersRefused) {
  for (const char* method : {kHash, kHashKv}) {
    start({"KEELSON_FAILPOINTS=node_hash_slice=sleep:3000@1"});
    put_keys(1000, "k");
    std::atomic<int> done{0}, refused{0};
    std::vector<std::string> answers(60);
    side_by_side(60, 60, [&](int i) {
      Reply reply = client().unary(method, "");
      done += reply.status.ok();
      refused += reply.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                 reply.status.error_message() == "etcdserver: too many requests";
      answers[i] = reply.body;
    });
    EXPECT_EQ(done, kMostHashes) << method;
    EXPECT_EQ(refused, 60 - kMostHashes) << method;
    answers.erase(std::remove(answers.begin(), answers.end(), ""), answers.end());
    EXPECT_EQ(std::set(answers.begin(), answers.end()).size(), 1u) << method;
    // It goes on when they are done, and one kind does not keep the other out.
    EXPECT_TRUE(client().unary(method, "").status.ok()) << method;
  }
}

// Each hash here takes some seconds: two thousand keys and more are a slice, and each rests as long
// as it works.
TEST_F(Calls, HashesThatNobodyWaitsForMakeRoom) {
  start({"KEELSON_FAILPOINTS=node_hash_slice=sleep:500"});
  put_keys(13'000, "k");
  std::vector<std::unique_ptr<Stream>> calls;
  for (int i = 0; i < kMostHashes; ++i) calls.push_back(begin(kHash));
  // One more is refused once all of them are there.
  auto refused = [&] {
    Reply reply = client().unary(kHash, "", {.deadline = Milliseconds(200)});
    return reply.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  };
  bool full = false;
  for (int tries = 0; tries < 100 && !full; ++tries) full = refused();
  ASSERT_TRUE(full);
  for (auto& call : calls) call->cancel();
  // Eight others, each some seconds of work, would be before it. What has not noticed yet that its
  // client is gone may refuse it once or twice.
  const auto start = std::chrono::steady_clock::now();
  Reply reply;
  do {
    reply = client().unary(kHash, "", {.deadline = Milliseconds(15'000)});
  } while (reply.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
           std::chrono::steady_clock::now() - start < std::chrono::seconds(15));
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  for (auto& call : calls) EXPECT_EQ(call->finish().error_code(), grpc::StatusCode::CANCELLED);
}

// All of them in one revision, which readers see whole or not at all.
TEST_F(Calls, ManyKeysAreDeletedAtOnce) {
  constexpr int kKeys = 40'000;
  start();
  put_keys(kKeys, "a/");
  put_keys(100, "b/");
  std::atomic<bool> over{false};
  std::atomic<int> torn{0};
  std::thread reader([&] {
    while (!over) {
      const int64_t there = count("a/", "a0").count();
      torn += there != 0 && there != kKeys;
    }
  });
  const int64_t before = count("b/", "b0").header().revision();
  pb::DeleteRangeRequest request;
  request.set_key("a/");
  request.set_range_end("a0");
  pb::DeleteRangeResponse answer;
  EXPECT_TRUE(client().unary("/etcdserverpb.KV/DeleteRange", request, &answer).ok());
  over = true;
  reader.join();
  EXPECT_EQ(answer.deleted(), kKeys);
  EXPECT_EQ(answer.header().revision(), before + 1);
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(count("a/", "a0").count(), 0);
  EXPECT_EQ(count("b/", "b0").count(), 100);
}

// Whoever may raise alarms could raise one for every number there is, of members that are none.
// In as many chunks as it may be, a range is what it is in one answer.
TEST_F(Calls, AStreamedRangeIsTheRange) {
  start();
  put_keys(300, "small/");
  for (int i = 0; i < 12; ++i) {
    pb::PutRequest put;
    put.set_key(cat("large/", 10 + i));
    put.set_value(std::string(700'000, static_cast<char>('a' + i)));
    pb::PutResponse answer;
    ASSERT_TRUE(client().unary("/etcdserverpb.KV/Put", put, &answer).ok());
  }
  int chunks = 0;
  for (const char* key : {"large/", "small/", "small/1", "nothing"}) {
    for (int64_t limit : {0, 1, 9, 10, 11, 12, 25, 299, 300, 301}) {
      for (int only : {0, 1, 2}) {
        pb::RangeRequest request;
        request.set_key(key);
        request.set_range_end(cat(std::string_view(key).substr(0, 5), "0"));
        request.set_limit(limit);
        request.set_keys_only(only == 1);
        request.set_count_only(only == 2);
        pb::RangeResponse whole;
        ASSERT_TRUE(client().unary("/etcdserverpb.KV/Range", request, &whole).ok());
        auto call = client().stream("/etcdserverpb.KV/RangeStream");
        call->send(request.SerializeAsString());
        call->half_close();
        pb::RangeResponse merged;
        while (std::optional<std::string> bytes = call->receive(Milliseconds(20'000))) {
          pb::RangeStreamResponse chunk;
          ASSERT_TRUE(chunk.ParseFromString(*bytes));
          merged.MergeFrom(chunk.range_response());
          ++chunks;
        }
        EXPECT_EQ(merged.header().revision(), whole.header().revision());
        merged.clear_header();
        whole.clear_header();
        EXPECT_EQ(merged.SerializeAsString(), whole.SerializeAsString())
            << request.ShortDebugString() << ": " << merged.kvs_size() << " of " << whole.kvs_size()
            << " keys, count " << merged.count() << " " << whole.count();
      }
    }
  }
  EXPECT_GT(chunks, 200);  // they were more than one each
}

TEST_F(Calls, AlarmsAreBounded) {
  constexpr int kMost = 1000;
  constexpr char kAlarm[] = "/etcdserverpb.Maintenance/Alarm";
  start();
  auto ask = [&](pb::AlarmRequest::AlarmAction action, uint64_t member, int* found = nullptr) {
    pb::AlarmRequest request;
    request.set_action(action);
    request.set_memberid(member);
    if (action != pb::AlarmRequest::GET) request.set_alarm(pb::CORRUPT);
    pb::AlarmResponse answer;
    grpc::Status status = client().unary(kAlarm, request, &answer);
    if (found != nullptr) *found = answer.alarms_size();
    return status;
  };
  std::atomic<int> failed{0};
  side_by_side(kMost, 8, [&](int i) { failed += !ask(pb::AlarmRequest::ACTIVATE, i + 1).ok(); });
  EXPECT_EQ(failed, 0);
  grpc::Status refused = ask(pb::AlarmRequest::ACTIVATE, kMost + 1);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.error_message(), "etcdserver: too many alarms (1000), disarm some");
  EXPECT_TRUE(ask(pb::AlarmRequest::ACTIVATE, 1).ok());  // stands already
  int found = 0;
  EXPECT_TRUE(ask(pb::AlarmRequest::GET, 0, &found).ok());
  EXPECT_EQ(found, kMost);
  EXPECT_TRUE(ask(pb::AlarmRequest::DEACTIVATE, 1).ok());
  EXPECT_TRUE(ask(pb::AlarmRequest::ACTIVATE, kMost + 1).ok());
}

TEST_F(Calls, ManyKeysDieWithTheirLease) {
  constexpr int kKeys = 20'000;
  start();
  ASSERT_TRUE(grant(7));
  ASSERT_TRUE(grant(8));
  put_keys(kKeys, "a/", 7);
  put_keys(200, "a/", 8);  // some of them change over
  const int64_t before = count("a/", "a0").header().revision();
  EXPECT_TRUE(revoke(7));
  const pb::RangeResponse after = count("a/", "a0");
  EXPECT_EQ(after.count(), 200);
  EXPECT_EQ(after.header().revision(), before + 1);
  EXPECT_TRUE(revoke(8));
  EXPECT_EQ(count("a/", "a0").count(), 0);
}

// What etcd's own tests wait for; and what nobody may read is not there.
TEST_F(Calls, DecodedHeaderFieldsAreWrittenWhereGoWouldWriteThem) {
  for (const bool asked : {true, false}) {
    start({cat("GODEBUG=gctrace=0,http2debug=", asked ? "2" : "1")});
    CallOptions options;
    options.metadata = {{"token", "hush-hush"}};
    client().unary("/etcdserverpb.Maintenance/Status", "", options);
    const std::string log = server_->log();
    const auto says = [&log](std::string_view text) { return log.find(text) != log.npos; };
    EXPECT_EQ(says(cat(" http2: decoded hpack field header field \":authority\" = \"",
                       server_->address(), "\"\n")),
              asked);
    EXPECT_EQ(says("header field \"token\" = (left out)"), asked);
    EXPECT_FALSE(says("hush-hush"));
  }
}

// etcd takes more than the megabyte that we do; neither minds that it is one value.
TEST_F(Calls, AMegabyteOfMetadataMayBeOneValue) {
  start();
  const std::string sizes[] = {std::string(64 << 10, 'a'), std::string((64 << 10) + 1, 'b'),
                               std::string(200 << 10, 'c'), std::string(1 << 20, 'd')};
  for (const std::string& value : sizes) {
    CallOptions options;
    options.metadata = {{"x-long", value}};
    const Reply reply = client().unary("/etcdserverpb.Maintenance/Status", "", options);
    EXPECT_TRUE(reply.status.ok()) << value.size() << " " << reply.status.error_message();
  }
}

TEST_F(Calls, HealthIsListed) {
  start();
  grpc::health::v1::HealthListResponse answer;
  ASSERT_TRUE(
      client()
          .unary("/grpc.health.v1.Health/List", grpc::health::v1::HealthListRequest(), &answer)
          .ok());
  ASSERT_EQ(answer.statuses().size(), 1u);
  ASSERT_TRUE(answer.statuses().contains(""));
  EXPECT_EQ(answer.statuses().at("").status(), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_FALSE(client().unary("/grpc.health.v1.Health/List", "\xff").status.ok());
}

// Clients that look at the server's health go elsewhere meanwhile, if that is wanted.
TEST_F(Calls, ADefragmentationIsNoTimeToServeWhereThatIsWanted) {
  using grpc::health::v1::HealthCheckResponse;
  const std::string kServing = "SERVING ", kNot = "NOT_SERVING ";
  for (const bool wanted : {true, false}) {
    start({}, {cat("--feature-gates=StopGRPCServiceOnDefrag=", wanted ? "true" : "false")});
    std::unique_ptr<Stream> health = begin("/grpc.health.v1.Health/Watch");
    std::string said;
    const auto hear = [&] {
      HealthCheckResponse answer;
      const auto message = health->receive(Milliseconds(30000));
      ASSERT_TRUE(message && answer.ParseFromString(*message));
      said += cat(HealthCheckResponse::ServingStatus_Name(answer.status()), " ");
    };
    hear();
    pb::DefragmentResponse done;
    ASSERT_TRUE(client()
                    .unary("/etcdserverpb.Maintenance/Defragment", pb::DefragmentRequest(), &done)
                    .ok());
    for (int i = 0; wanted && i < 2; ++i) hear();
    // The server's end is the next that is heard of, so nothing has been said beside this.
    std::thread ending([&] { EXPECT_TRUE(server_->stop().ok()); });
    hear();
    ending.join();
    EXPECT_EQ(said, kServing + (wanted ? kNot + kServing : "") + kNot);
  }
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
