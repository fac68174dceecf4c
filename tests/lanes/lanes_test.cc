// lanes_test: a server of one io lane, and requests that have to wait for a disk. Others on the
// lane are answered meanwhile.

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using harness::Milliseconds;
using harness::Server;

std::string binary;  // NOLINT: from the command line

constexpr char kPut[] = "/etcdserverpb.KV/Put";
constexpr char kRange[] = "/etcdserverpb.KV/Range";
constexpr char kWatch[] = "/etcdserverpb.Watch/Watch";
constexpr Milliseconds kPatience{30000};

etcdserverpb::WatchResponse parse(const std::optional<std::string>& message) {
  etcdserverpb::WatchResponse response;
  EXPECT_TRUE(message && response.ParseFromString(*message));
  return response;
}

// More has come since than the 64 MB that a lane keeps for watchers who are behind.
TEST(Lanes, AWatcherOfThePastWaitsForTheDiskAlone) {
  Server server({.binary = binary,
                 .flags = {"--keelson-io-threads=1"},
                 .environment = {"KEELSON_FAILPOINTS=mvcc_history=sleep:5000@1"}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  etcdserverpb::PutRequest put;
  put.set_key("key");
  etcdserverpb::PutResponse put_answer;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(server.client().unary(kPut, put, &put_answer).ok());
  }
  put.set_key("other");
  put.set_value(std::string(1 << 20, 'v'));
  for (int i = 0; i < 80; ++i) {
    ASSERT_TRUE(server.client().unary(kPut, put, &put_answer).ok());
  }

  auto watch = server.client().stream(kWatch);
  etcdserverpb::WatchRequest create;
  create.mutable_create_request()->set_key("key");
  create.mutable_create_request()->set_start_revision(2);
  ASSERT_TRUE(watch->send(create.SerializeAsString()));
  ASSERT_TRUE(parse(watch->receive(kPatience)).created());
  etcdserverpb::RangeRequest range;
  range.set_key("key");
  etcdserverpb::RangeResponse range_answer;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(server.client().unary(kRange, range, &range_answer).ok());
  }
  EXPECT_FALSE(watch->receive(Milliseconds(0))) << "the lane waited for the history";
  EXPECT_EQ(parse(watch->receive(kPatience)).events_size(), 10);
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
