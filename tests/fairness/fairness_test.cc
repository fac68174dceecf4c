// fairness_test: a flood, and clients that ask for little. The flood is refused what would be too
// much, and those are refused nothing.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/fairness/flood.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/http.h"
#include "tests/harness/raw.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using harness::Client;
using harness::Milliseconds;
using harness::RawConnection;
using harness::Server;
namespace pb = etcdserverpb;
namespace h2 = harness::h2;

std::string binary;  // NOLINT: from the command line

constexpr char kPut[] = "/etcdserverpb.KV/Put";
constexpr char kRange[] = "/etcdserverpb.KV/Range";
constexpr Milliseconds kPatience{60000};

// Of the metrics' row that begins so; -1: there is none.
double number(const Server& server, std::string_view row) {
  const auto page = harness::http_request(server.address(), "GET", "/metrics");
  if (!page.ok()) return -1;
  const size_t at = page->body.find(row);
  return at == std::string::npos ? -1 : std::atof(page->body.c_str() + at + row.size());
}

// Of keelson_requests_refused_total, with these labels.
double refused(const Server& server, std::string_view what, std::string_view why) {
  return number(server,
                cat("\nkeelson_requests_refused_total{what=\"", what, "\",why=\"", why, "\"} "));
}

std::string put_of(std::string_view key, size_t value_size) {
  pb::PutRequest put;
  put.set_key(std::string(key));
  put.set_value(std::string(value_size, 'v'));
  return put.SerializeAsString();
}

// 400 MB of puts want in where 256 fit, and the disk takes its time.
TEST(Fairness, AFloodOfPutsIsRefusedAndAModestClientIsNot) {
  Server server({.binary = binary,
                 .flags = {"--quota-backend-bytes=0"},
                 .environment = {"KEELSON_FAILPOINTS=wal_before_sync=sleep:200"}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Flood flood({.address = server.address(), .method = kPut, .body = put_of("flood", 64 << 10)});
  Client writer(server.address()), reader(server.address());
  std::vector<std::string> failures;
  const auto note = [&failures](const grpc::Status& status) {
    if (!status.ok()) failures.push_back(status.error_message());
  };
  int asked = 0;
  while (asked < 20 || flood.refused() < 100) {
    ASSERT_LT(asked, 1000) << "the flood is not refused: " << flood.done();
    ++asked;
    note(writer.unary(kPut, put_of("modest", 10)).status);
    pb::RangeRequest range;
    range.set_key("modest");
    note(reader.unary(kRange, range.SerializeAsString()).status);
  }
  EXPECT_EQ(failures.size(), 0u) << failures.front() << " and others, of " << 2 * asked;
  flood.stop();
  EXPECT_GT(flood.done(), 0);
  // On a slow disk what was let in last may run out of its time.
  const std::string other = flood.other_error();
  EXPECT_TRUE(other.empty() || other == "14 etcdserver: request timed out") << other;
  const double of_share = refused(server, "proposals", "share");
  EXPECT_GT(of_share, 0);
  EXPECT_EQ(of_share + refused(server, "proposals", "full"), flood.refused());
  EXPECT_EQ(refused(server, "reads", "share"), 0);
}

// The alarm is the member's own proposal, which no share holds back: those who are refused because
// the quota is full do not make one each while the first is under way.
TEST(Fairness, AFullQuotaIsProposedOnce) {
  Server server({.binary = binary,
                 .flags = {"--quota-backend-bytes=1"},
                 .environment = {"KEELSON_FAILPOINTS=wal_before_sync=sleep:300"}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  const double before = number(server, "\netcd_server_proposals_committed_total ");
  ASSERT_GT(before, 0);
  Flood flood({.address = server.address(),
               .method = kPut,
               .body = put_of("a", 1),
               .connections = 4,
               .calls = 500});
  flood.stop();
  EXPECT_EQ(flood.done(), 0);
  EXPECT_EQ(flood.other_error(), "8 etcdserver: mvcc: database space exceeded");
  // Behind all that was proposed until then.
  pb::RangeRequest range;
  range.set_key("a");
  ASSERT_TRUE(Client(server.address()).unary(kRange, range.SerializeAsString()).status.ok());
  EXPECT_LE(number(server, "\netcd_server_proposals_committed_total ") - before, 20);
}

// A connection over HTTP/2 that has asked for so many long messages to be written, in JSON.
class JsonFlood {
 public:
  JsonFlood(const std::string& address, int requests) : connection_(address) {
    const std::string body =
        cat("{\"key\":\"a2V5\",\"value\":\"", std::string(48 << 10, 'A'), "\"}");
    connection_.send(h2::preface());
    for (int i = 0; i < requests; ++i) {
      const auto stream = static_cast<uint32_t>(2 * i + 1);
      connection_.send(h2::headers(stream,
                                   h2::block({{":method", "POST"},
                                              {":scheme", "http"},
                                              {":path", "/v3/kv/put"},
                                              {":authority", "test"},
                                              {"content-type", "application/json"}}),
                                   /*end_stream=*/false));
      for (size_t at = 0; at < body.size(); at += 16 << 10) {
        const std::string_view piece = std::string_view(body).substr(at, 16 << 10);
        const bool last = at + piece.size() == body.size();
        connection_.send(h2::frame(h2::kData, last ? h2::kEndStream : 0, stream, piece));
      }
    }
  }

  // How many are answered by now. With a `patience` it waits for one more.
  int answered(Milliseconds patience = Milliseconds(0)) {
    const int before = answered_;
    do {
      unread_ += connection_.receive(patience);
      while (auto frame = h2::take_frame(&unread_)) {
        const bool of_request = frame->stream != 0;
        if (of_request && (frame->flags & h2::kEndStream) != 0 &&
            (frame->type == h2::kData || frame->type == h2::kHeaders)) {
          ++answered_;
        }
      }
    } while (patience > Milliseconds(0) && answered_ == before && !connection_.ended());
    return answered_;
  }

 private:
  RawConnection connection_;
  std::string unread_;
  int answered_ = 0;
};

// Two threads convert what is long, and two connections have sent them forty messages each. One of
// a third has its turn behind one of each, not behind all of them.
TEST(Fairness, TheGatewaysConnectionsTakeTurns) {
  constexpr int kEach = 40;
  Server server({.binary = binary,
                 .flags = {"--keelson-io-threads=1"},
                 .environment = {"KEELSON_FAILPOINTS=json_before_convert=sleep:50"}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  JsonFlood one(server.address(), kEach), other(server.address(), kEach);
  ASSERT_GT(one.answered(kPatience), 0);
  ASSERT_GT(other.answered(kPatience), 0);
  JsonFlood modest(server.address(), 1);
  ASSERT_EQ(modest.answered(kPatience), 1);
  const int before = one.answered() + other.answered();
  EXPECT_LT(before, kEach) << "of " << 2 * kEach;
  while (one.answered(kPatience) < kEach) {
  }
  while (other.answered(kPatience) < kEach) {
  }
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
