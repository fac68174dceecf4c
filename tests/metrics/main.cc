// metrics_check: what /metrics says after known requests: the lines that etcd's own test asserts
// (tests/e2e/metrics_test.go of v3.7.1), counts worked out by hand, and, where there is a real
// etcd, the same rows of both after the same work.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include "base/test_ports.h"
#include "base/text.h"
#include "tests/harness/http.h"
#include "tests/harness/server.h"
#include "tests/metrics/page.h"
#include "tests/metrics/work.h"

namespace keelson::metrics {
namespace {

using harness::Server;

int failures = 0;

void expect(bool ok, const std::string& what) {
  if (ok) return;
  std::cout << "FAILED: " << what << std::endl;
  ++failures;
}

void expect_row(const Page& page, const std::string& row, double value) {
  expect(page.value(row) == value, cat(row, " is ", page.value(row), ", not ", value,
                                       page.rows().contains(row) ? "" : " (no row)"));
}

Page page_of(Server& server) {
  absl::StatusOr<Page> page = Page::scrape(server.address());
  expect(page.ok(), cat("scrape: ", message_of(page.status())));
  return page.ok() ? *std::move(page) : Page();
}

// The server hears of a client's cancellation a little later than the client.
void expect_soon(Server& server, const std::string& row, double value) {
  auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Page page = page_of(server);
  while (page.value(row) != value && std::chrono::steady_clock::now() < give_up) {
    page = page_of(server);
  }
  expect_row(page, row, value);
}

std::unique_ptr<Server> started(const std::string& binary, std::vector<std::string> flags = {}) {
  auto server =
      std::make_unique<Server>(harness::ServerOptions{.binary = binary, .flags = std::move(flags)});
  absl::Status status = server->start();
  if (status.ok()) return server;
  std::cout << message_of(status) << std::endl;
  std::exit(1);
}

std::string body_of(const std::string& address, const std::string& target) {
  absl::StatusOr<harness::HttpAnswer> answer = harness::http_request(address, "GET", target);
  return answer.ok() && answer->code == 200 ? answer->body : "";
}

// Nobody has asked for anything: the member's own way to readiness counts for nothing.
void nothing_is_counted_ahead(const std::string& binary) {
  Server server(harness::ServerOptions{.binary = binary});
  server.prepare();
  expect(server.launch().ok(), "a launch");
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  absl::StatusOr<Page> page = Page::scrape(server.address());
  while (!page.ok() && !server.exited() && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
    page = Page::scrape(server.address());
  }
  expect(page.ok(), "a page of a fresh member");
  if (!page.ok()) return;
  for (const char* row : {"etcd_mvcc_range_total", "etcd_mvcc_put_total", "etcd_mvcc_txn_total",
                          "etcd_mvcc_delete_total"}) {
    expect(page->value(row) == 0, cat(row, " of a fresh member is ", page->value(row)));
  }
}

// The e2e test's rounds, with its checks after each.
void rounds_of_etcd(Server& server, bool is_etcd) {
  put(server.client(), "k", "v");
  auto round = [&](int number) {
    put(server.client(), std::to_string(number), "v");
    delete_key(server.client(), std::to_string(number));
    watch_and_cancel(server.client(), "k");
    return page_of(server);
  };
  expect_row(round(1), "etcd_mvcc_put_total", 2);
  expect_row(round(2), "etcd_debugging_mvcc_keys_total", 1);
  expect_row(round(3), "etcd_mvcc_delete_total", 3);
  Page fourth = round(4), fifth = round(5);
  if (!is_etcd) {
    for (const char* type : {"ClusterMemberAttrSet", "ClusterVersionSet"}) {
      expect_row(
          fourth,
          cat("etcd_server_request_duration_seconds_count{success=\"true\",type=\"", type, "\"}"),
          1);
    }
    expect_row(fourth, "etcd_server_version{server_version=\"3.7.1\"}", 1);
    expect_row(fifth, "etcd_cluster_version{cluster_version=\"3.7\"}", 1);
  }
  round(6);
  expect_soon(server,
              "grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Watch\","
              "grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"}",
              6);
  expect(body_of(server.address(), "/health") == R"({"health":"true","reason":""})", "/health");
}

// The rows that mixed_work() moves, and by how much.
const std::map<std::string, double>& expected_growth() {
  static const std::map<std::string, double> growth = {
      {"etcd_mvcc_range_total", 18},
      {"etcd_mvcc_put_total", 9},
      {"etcd_mvcc_delete_total", 5},
      {"etcd_debugging_mvcc_total_put_size_in_bytes", 38},
      {"etcd_debugging_mvcc_keys_total", 3},
      {"etcd_debugging_mvcc_current_revision", 10},
      {"etcd_debugging_lease_granted_total", 2},
      {"etcd_debugging_lease_revoked_total", 1},
      {"etcd_debugging_lease_renewed_total", 1},
      {"etcd_debugging_lease_ttl_total_sum", 660},
      {"etcd_debugging_lease_ttl_total_count", 2},
      {"etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count", 1},
      {"etcd_mvcc_hash_duration_seconds_count", 1},
      {"etcd_mvcc_hash_rev_duration_seconds_count", 1},
      {"etcd_server_apply_duration_seconds_count{op=\"Put\",success=\"true\",version=\"v3\"}", 5},
      {"etcd_server_apply_duration_seconds_count{op=\"Put\",success=\"false\",version=\"v3\"}", 2},
      {"etcd_server_apply_duration_seconds_count{op=\"Txn\",success=\"true\",version=\"v3\"}", 3},
      {"etcd_server_apply_duration_seconds_count{op=\"LeaseGrant\",success=\"false\",version="
       "\"v3\"}",
       1},
      {"etcd_server_client_requests_total{client_api_version=\"unknown\",type=\"stream\"}", 1},
  };
  return growth;
}

// Rows that etcd 3.5, which may stand in for 3.7, does not have.
const std::map<std::string, double>& growth_since_3_7() {
  static const std::map<std::string, double> growth = {
      {"etcd_server_request_duration_seconds_count{success=\"true\",type=\"Range\"}", 2},
      {"etcd_server_request_duration_seconds_count{success=\"false\",type=\"Range\"}", 1},
      {"etcd_server_request_duration_seconds_count{success=\"true\",type=\"ReadonlyTxn\"}", 2},
      {"etcd_server_request_duration_seconds_count{success=\"true\",type=\"Put\"}", 5},
      {"etcd_server_request_duration_seconds_count{success=\"false\",type=\"Put\"}", 2},
      {"etcd_server_request_duration_seconds_count{success=\"true\",type=\"Compaction\"}", 1},
      {"etcd_server_range_duration_seconds_count{success=\"true\"}", 2},
      {"etcd_server_range_duration_seconds_count{success=\"false\"}", 1},
  };
  return growth;
}

void growth_of_mixed_work(Server& server, bool is_etcd) {
  Page before = page_of(server);
  mixed_work(server.client());
  Page after = page_of(server);
  auto check = [&](const std::map<std::string, double>& growth) {
    for (const auto& [row, expected] : growth) {
      double grew = after.value(row) - before.value(row);
      expect(grew == expected,
             cat(is_etcd ? "etcd: " : "", row, " grew by ", grew, ", not ", expected));
    }
  };
  check(expected_growth());
  if (!is_etcd) check(growth_since_3_7());
  expect(after.value("etcd_debugging_mvcc_compact_revision") == 5, "compact revision");
  expect(after.value("etcd_disk_backend_commit_duration_seconds_count") >
             before.value("etcd_disk_backend_commit_duration_seconds_count"),
         "commits are timed");
  expect(after.value("etcd_debugging_mvcc_db_compaction_last") > 1.7e9, "time of the compaction");
}

// Every family of etcd's is there, as soon as in etcd.
void nothing_missing(const std::string& binary) {
  auto server = started(binary, {"--metrics=extensive"});
  mixed_work(server->client());
  const Page page = page_of(*server);
  std::ifstream list(KEELSON_SOURCE_DIR "/src/http/testdata/etcd_families.txt");
  int families = 0;
  for (std::string line; std::getline(list, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    ++families;
    if (!line.ends_with(" later")) expect(page.has(line), cat(line, " is missing"));
  }
  expect(families > 150, cat("families in the list: ", families));
}

// Seen while it is under way, and timed when it is over. Of several the gauge says one.
void defragmentations_show(const std::string& binary) {
  auto server = std::make_unique<Server>(harness::ServerOptions{
      .binary = binary,
      .flags = {},
      .environment = {"KEELSON_FAILPOINTS=backend_before_reclaim=sleep:1000"}});
  absl::Status status = server->start();
  expect(status.ok(), std::string(message_of(status)));
  if (!status.ok()) return;
  const std::string inflight = "etcd_disk_defrag_inflight";
  const std::string count = "etcd_disk_backend_defrag_duration_seconds_count";
  const Page before = page_of(*server);
  expect_row(before, inflight, 0);
  std::vector<std::thread> clients;
  std::atomic<int> done{0};
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      done += server->client().unary("/etcdserverpb.Maintenance/Defragment", "").status.ok();
    });
  }
  double most = 0;
  while (done < 3 && failures == 0) {
    const Page page = page_of(*server);
    most = std::max(most, page.value(inflight));
    expect(page.value(count) <= before.value(count) + 3, "no more are counted than were asked for");
  }
  for (std::thread& client : clients) client.join();
  expect(most == 1, cat("under way: ", most));
  const Page after = page_of(*server);
  expect_row(after, inflight, 0);
  expect_row(after, count, before.value(count) + 3);
  expect(after.value("etcd_disk_backend_defrag_duration_seconds_sum") > 0.9,
         "they take their time");
}

// What the first lines say of bounds, in etcd's fields.
void bounds_are_told(const Server& server) {
  const std::string log = server.log();
  for (std::string_view line :
       {R"("msg":"exceeded recommended request limit","max-request-bytes":20000000,)"
        R"("max-request-size":"20 MB","recommended-request-bytes":10485760,)"
        R"("recommended-request-size":"10 MB")",
        R"("msg":"quota exceeds the maximum value","quota-name":"v3-applier",)"
        R"("quota-size-bytes":9000000000,"quota-size":"9.0 GB",)"
        R"("quota-maximum-size-bytes":8589934592,"quota-maximum-size":"8.6 GB")",
        R"("msg":"enabled backend quota","quota-name":"v3-applier",)"
        R"("quota-size-bytes":9000000000,"quota-size":"9.0 GB")"}) {
    expect(log.find(line) != std::string::npos, cat("the log lacks ", line));
  }
}

// gRPC on one port, HTTP on another; warnings about everything; a compaction that rests.
void flags_take_effect(const std::string& binary) {
  std::string http = cat("127.0.0.1:", reserve_test_port());
  auto server =
      started(binary, {"--listen-client-http-urls=http://" + http, "--warning-apply-duration=1ns",
                       "--warning-unary-request-duration=1ns", "--compaction-batch-limit=10",
                       "--compaction-sleep-interval=50ms", "--quota-backend-bytes=9000000000",
                       "--max-request-bytes=20000000"});
  expect(!body_of(http, "/health").empty(), "the HTTP port serves /health");
  expect(!body_of(http, "/version").empty(), "the HTTP port serves /version");
  expect(body_of(server->address(), "/health").empty(), "the gRPC port serves /health");
  expect(body_of(server->address(), "/metrics").empty(), "the gRPC port serves /metrics");
  harness::Client other(http);
  expect(!other.unary("/etcdserverpb.KV/Range", "\x0a\x01k").status.ok(),
         "the HTTP port serves gRPC");
  expect(body_of(http, "/debug/vars").find("--compaction-batch-limit=10") != std::string::npos,
         "/debug/vars shows the command line");

  auto start = std::chrono::steady_clock::now();
  physical_compaction(server->client(), 101);
  auto took = std::chrono::steady_clock::now() - start;
  expect(took >= std::chrono::milliseconds(400), "a compaction of ten steps rests between them");
  absl::StatusOr<Page> page = Page::scrape(http);
  expect(page.ok(), "the HTTP port serves /metrics");
  if (!page.ok()) return;
  expect(page->value("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_count") >= 10,
         "steps of the compaction are counted");
  expect_row(*page, "etcd_debugging_mvcc_db_compaction_keys_total", 100);
  expect(page->value("etcd_server_slow_apply_total") > 100, "slow applies are counted");
  bounds_are_told(*server);
  std::string log = server->log_tail();
  expect(log.find("apply request took too long") != std::string::npos, "slow applies are logged");
  expect(log.find("request stats") != std::string::npos, "slow requests are logged");
}

int run(const std::string& subject, const std::string& given_etcd) {
  auto keelson = started(subject);
  rounds_of_etcd(*keelson, false);
  growth_of_mixed_work(*keelson, false);
  nothing_missing(subject);
  nothing_is_counted_ahead(subject);
  flags_take_effect(subject);
  defragmentations_show(subject);
  std::string etcd = harness::find_etcd(given_etcd, KEELSON_SOURCE_DIR);
  if (etcd.empty()) {
    std::cout << "no etcd to compare with" << std::endl;
  } else {
    auto reference = started(etcd);
    rounds_of_etcd(*reference, true);
    growth_of_mixed_work(*reference, true);
    nothing_is_counted_ahead(etcd);
  }
  std::cout << (failures == 0 ? "ok" : cat(failures, " failed")) << std::endl;
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace keelson::metrics

int main(int argc, char** argv) {
  CLI::App app("What /metrics says after known requests.");
  std::string subject, etcd;
  app.add_option("--server", subject, "the server under test")->required();
  app.add_option("--etcd", etcd, "a real etcd to compare with");
  CLI11_PARSE(app, argc, argv);
  return keelson::metrics::run(subject, etcd);
}
