// Instruments against plain sums, and the page against what etcd's own looks like.

#include "http/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "http/process_metrics.h"

namespace keelson::http {
namespace {

// The whole line of the page that begins with `start`, or "".
std::string line_of(const std::string& page, std::string_view start) {
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(start)) return line;
  }
  return "";
}

// "a_{b,c}_d" as a_b_d and a_c_d.
std::vector<std::string> expanded(const std::string& pattern) {
  const size_t open = pattern.find('{');
  if (open == pattern.npos) return {pattern};
  const size_t close = pattern.find('}', open);
  std::vector<std::string> all;
  std::istringstream parts(pattern.substr(open + 1, close - open - 1));
  for (std::string part; std::getline(parts, part, ',');) {
    for (std::string& one : expanded(pattern.substr(0, open) + part + pattern.substr(close + 1))) {
      all.push_back(std::move(one));
    }
  }
  return all;
}

// The names in the first column of the table of docs/compatibility.md; '*' at the end: all that
// begin so.
std::vector<std::string> documented() {
  std::ifstream file(KEELSON_SOURCE_DIR "/docs/compatibility.md");
  std::vector<std::string> names;
  bool there = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) there = line == "## Metrics";
    if (!there || !line.starts_with("| `")) continue;
    std::string column = line.substr(0, line.find(" | "));
    for (size_t at = 0; (at = column.find('`', at)) != column.npos;) {
      const size_t end = column.find('`', at + 1);
      for (std::string& name : expanded(column.substr(at + 1, end - at - 1))) {
        names.push_back(std::move(name));
      }
      at = end + 1;
    }
  }
  return names;
}

bool covers(const std::string& pattern, const std::string& name) {
  return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                : name == pattern;
}

// The table, etcd's list and the page say the same.
TEST(Page, TheTableOfTheDocumentationIsTrue) {
  std::ifstream list(KEELSON_SOURCE_DIR "/src/http/testdata/etcd_families.txt");
  std::set<std::string> families;
  for (std::string line; std::getline(list, line);) {
    if (!line.starts_with('#')) families.insert(line.substr(0, line.find(' ')));
  }
  ASSERT_GT(families.size(), 150u);
  const std::vector<std::string> table = documented();
  for (const std::string& name : families) {
    const auto covering = [&](const std::string& pattern) { return covers(pattern, name); };
    EXPECT_TRUE(std::any_of(table.begin(), table.end(), covering)) << name << " is not documented";
  }
  for (const std::string& pattern : table) {
    const auto covered = [&](const std::string& name) { return covers(pattern, name); };
    EXPECT_TRUE(std::any_of(families.begin(), families.end(), covered))
        << "no etcd has " << pattern;
  }
  Metrics metrics({.extensive = true});
  std::istringstream page(metrics_page(metrics));
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("# TYPE ")) continue;
    const std::string name = line.substr(7, line.rfind(' ') - 7);
    EXPECT_TRUE(families.contains(name) || name.starts_with("keelson_")) << name;
  }
}

TEST(Instruments, CountersLoseNothingAcrossThreads) {
  Counter counter;
  Histogram histogram(exponential_bounds(0.001, 2, 14), 1e9);
  constexpr int kThreads = 12, kEach = 20'000;  // more threads than shards
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        counter.add();
        histogram.observe(uint64_t{1'000'000});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), kThreads * kEach);
  EXPECT_EQ(histogram.read().count, uint64_t{kThreads * kEach});
  EXPECT_EQ(histogram.read().cumulative[0], uint64_t{kThreads * kEach});  // bounds are inclusive
}

TEST(Instruments, HistogramEqualsASlowOne) {
  for_each_seed(10, [](uint64_t seed) {
    SeededRandom random(seed);
    const std::vector<double> bounds = exponential_bounds(0.0001, 2, 20);
    Histogram histogram(bounds, 1e9);
    std::vector<uint64_t> plain(bounds.size());
    uint64_t sum = 0;
    for (int i = 0; i < 10'000; ++i) {
      const uint64_t raw = random.next() >> (24 + random.below(40));
      histogram.observe(raw);
      sum += raw;
      for (size_t b = 0; b < bounds.size(); ++b) {
        plain[b] += static_cast<double>(raw) <= std::round(bounds[b] * 1e9);
      }
    }
    const Histogram::Reading reading = histogram.read();
    EXPECT_EQ(reading.cumulative, plain);
    EXPECT_EQ(reading.count, 10'000u);
    EXPECT_DOUBLE_EQ(reading.sum, static_cast<double>(sum) / 1e9);
  });
}

TEST(Instruments, NegativeDurationsCountAsNone) {
  Histogram histogram({1}, 1e9);
  histogram.observe(Duration(-5));
  EXPECT_EQ(histogram.read().cumulative[0], 1u);
  EXPECT_EQ(histogram.read().sum, 0);
}

TEST(ClientRequests, TellsABoundedNumberOfVersionsApart) {
  ClientRequests requests;
  requests.add(ClientRequests::kUnary, "");
  requests.add(ClientRequests::kUnary, "3.5");
  requests.add(ClientRequests::kStream, "3.5");
  for (int i = 0; i < 1000; ++i) requests.add(ClientRequests::kUnary, cat("made-up-", i));
  requests.add(ClientRequests::kUnary, std::string(1'000'000, 'x'));
  double total = 0;
  std::set<std::string> versions;
  for (const ClientRequests::Row& row : requests.read()) {
    total += row.value;
    versions.insert(row.version);
  }
  EXPECT_EQ(total, 1004);
  EXPECT_EQ(versions.size(), ClientRequests::kVersions + 1);
  EXPECT_TRUE(versions.contains("unknown"));
  EXPECT_TRUE(versions.contains("other"));
}

TEST(Page, ShowsEtcdsLines) {
  Metrics metrics({});
  metrics.put_total.add(2);
  metrics.version.set({"3.7.1"}, 1);
  metrics.cluster_version.set({"3.7"}, 1);
  metrics.on_scrape = [](Metrics& m) { m.current_revision.set(42); };
  metrics.observe_request(RequestType::kPut, true, std::chrono::milliseconds(3));
  const std::string page = metrics_page(metrics);
  for (std::string_view line : {
           "etcd_mvcc_put_total 2",
           "etcd_server_version{server_version=\"3.7.1\"} 1",
           "etcd_cluster_version{cluster_version=\"3.7\"} 1",
           "etcd_server_has_leader 0",
           "etcd_server_is_learner 0",
           "etcd_debugging_mvcc_current_revision 42",
           "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 0",
           "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} 0",
           "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 0",
           "etcd_disk_wal_fsync_duration_seconds_count 0",
           "etcd_server_request_duration_seconds_bucket{success=\"true\",type=\"Put\",le=\"0.004\"}"
           " 1",
           "grpc_server_started_total{grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\","
           "grpc_type=\"unary\"} 0",
           "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Watch\",grpc_service="
           "\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"} 0",
       }) {
    EXPECT_EQ(line_of(page, line), line);
  }
  EXPECT_NE(line_of(page, "process_resident_memory_bytes "), "");
  EXPECT_NE(line_of(page, "process_start_time_seconds "), "");
  EXPECT_NE(line_of(page, "os_fd_used "), "");
  EXPECT_EQ(line_of(page, "grpc_server_handling_seconds"), "");
  EXPECT_EQ(page.find("v3lockpb"), std::string::npos);
}

TEST(Page, HasEveryNameOnceAndInOrder) {
  Metrics metrics({.extensive = true});
  std::istringstream lines(metrics_page(metrics));
  std::string last;
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("# TYPE ")) continue;
    const std::string name = line.substr(7, line.find(' ', 7) - 7);
    EXPECT_TRUE(seen.insert(name).second) << name;
    EXPECT_LT(last, name);
    last = name;
  }
  EXPECT_TRUE(seen.contains("grpc_server_handling_seconds"));
  EXPECT_GT(seen.size(), 70u);
}

TEST(GrpcMetrics, KnowsEveryMethodOfTheContract) {
  GrpcMetrics metrics(true);
  EXPECT_EQ(grpc_methods().size(), 52u);  // 49 of etcd, 3 of the health service
  for (const GrpcMethod& method : grpc_methods()) {
    EXPECT_TRUE(metrics.find(cat("/", method.service, "/", method.method))) << method.method;
  }
  EXPECT_FALSE(metrics.find("/etcdserverpb.KV/Nope"));
  EXPECT_FALSE(metrics.find(""));
}

TEST(GrpcMetrics, CountsByCode) {
  Metrics metrics({.extensive = true});
  const GrpcMetrics::Method watch = *metrics.grpc.find("/etcdserverpb.Watch/Watch");
  metrics.grpc.started(watch);
  metrics.grpc.received(watch);
  metrics.grpc.sent(watch);
  metrics.grpc.sent(watch);
  metrics.grpc.handled(watch, 1, std::chrono::milliseconds(30));
  metrics.grpc.handled(watch, 99, std::chrono::milliseconds(30));
  const std::string page = metrics_page(metrics);
  const std::string labels =
      "grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"";
  for (const std::string& line :
       {cat("grpc_server_started_total{", labels, "} 1"),
        cat("grpc_server_msg_received_total{", labels, "} 1"),
        cat("grpc_server_msg_sent_total{", labels, "} 2"),
        cat("grpc_server_handled_total{grpc_code=\"Canceled\",", labels, "} 1"),
        cat("grpc_server_handled_total{grpc_code=\"Unknown\",", labels, "} 1"),
        cat("grpc_server_handling_seconds_bucket{", labels, ",le=\"0.05\"} 2")}) {
    EXPECT_EQ(line_of(page, line), line);
  }
}

// What anybody may see at /debug/vars and /debug/pprof/cmdline.
TEST(ProcessMetrics, PasswordsOnTheCommandLineAreNotTold) {
  using Arguments = std::vector<std::string>;
  EXPECT_EQ(without_secrets({"keelson", "--discovery-password=a=b", "--name=--discovery-password"}),
            (Arguments{"keelson", "--discovery-password=***", "--name=--discovery-password"}));
  EXPECT_EQ(without_secrets({"keelson", "-discovery-password", "a", "--discovery-user", "u:p:q"}),
            (Arguments{"keelson", "-discovery-password", "***", "--discovery-user", "u:***"}));
  EXPECT_EQ(without_secrets({"--discovery-user=u:p", "--discovery-user=u", "--discovery-user=u:"}),
            (Arguments{"--discovery-user=u:***", "--discovery-user=u", "--discovery-user=u:"}));
  EXPECT_EQ(
      without_secrets({"", "-", "--", "=", "discovery-password", "a", "--discovery-password"}),
      (Arguments{"", "-", "--", "=", "discovery-password", "a", "--discovery-password"}));
}

}  // namespace
}  // namespace keelson::http
