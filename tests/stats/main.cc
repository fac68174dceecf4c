// stats_check: the same random requests to a real etcd and to the server under test, both at debug
// level, and what their logs say of them compared; and the pages /debug/requests, /debug/events and
// /debug/vars.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "base/text.h"
#include "tests/harness/server.h"
#include "tests/stats/lines.h"
#include "tests/stats/pages.h"
#include "tests/stats/requests.h"

namespace keelson::stats {
namespace {

using harness::Server;

int failures = 0;

void expect(bool ok, const std::string& what) {
  if (ok) return;
  std::cout << "FAILED: " << what << std::endl;
  ++failures;
}

std::unique_ptr<Server> started(const std::string& binary, std::vector<std::string> flags) {
  auto server =
      std::make_unique<Server>(harness::ServerOptions{.binary = binary, .flags = std::move(flags)});
  absl::Status status = server->start();
  if (status.ok()) return server;
  std::cout << message_of(status) << std::endl;
  std::exit(1);
}

// What a server's log says of requests, and all of the log.
struct Said {
  std::vector<Line> stats, slow;
  std::string log;
};

// Sends them one after the other. The server has ended then.
Said told_of(Server& server, const std::vector<Request>& requests) {
  const size_t stats_before = stats_lines(server.log()).size();
  const size_t slow_before = slow_lines(server.log()).size();
  for (const Request& request : requests) server.client().unary(request.path, request.body);
  const absl::Status stopped = server.stop();
  expect(stopped.ok(), std::string(message_of(stopped)));
  Said said{.log = server.log()};
  said.stats = stats_lines(said.log);
  said.slow = slow_lines(said.log);
  said.stats.erase(said.stats.begin(), said.stats.begin() + static_cast<long>(stats_before));
  said.slow.erase(said.slow.begin(), said.slow.begin() + static_cast<long>(slow_before));
  return said;
}

// The header counts for as much as the ids take, which are each server's own.
void forget_ids(std::vector<Line>& lines, size_t header) {
  for (Line& line : lines) {
    const long size = std::stol(line["response size"]);
    if (size > 0) line["response size"] = cat(size - static_cast<long>(header));
  }
}

// Of an answer to a range of nothing: all of it is header. What the log says of the request comes
// after its answer; it is there when this returns, and so is what the log says of those before.
size_t header_size(Server& server) {
  const harness::Reply reply = server.client().unary("/etcdserverpb.KV/Range", "\x0a\x01\xff");
  const std::string content = tokens_of("key:\"\\377\"");
  expect(harness::eventually([&] {
           const std::vector<Line> lines = stats_lines(server.log());
           return std::any_of(lines.begin(), lines.end(),
                              [&](const Line& line) { return line.at("content") == content; });
         }),
         "no line about a range");
  return reply.body.size();
}

void logs_are_alike(const std::string& subject, const std::string& etcd, uint64_t seed, int count) {
  std::cout << "seed " << seed << std::endl;
  SeededRandom random(seed);
  const std::vector<Request> requests = random_requests(random, count);
  auto ours = started(subject, {"--log-level=debug", "--warning-apply-duration=1ns"});
  const size_t our_header = header_size(*ours);
  Said said = told_of(*ours, requests);
  expect(said.stats.size() == requests.size(),
         cat(said.stats.size(), " lines of ", requests.size(), " requests"));
  expect(said.log.find(kSecret) == std::string::npos, "a value is in the log");
  expect(said.slow.size() > requests.size() / 2, cat("slow lines: ", said.slow.size()));
  if (etcd.empty()) return;
  auto theirs = started(etcd, {"--log-level=debug", "--experimental-warning-apply-duration=1ns"});
  const size_t their_header = header_size(*theirs);
  Said reference = told_of(*theirs, requests);
  forget_ids(said.stats, our_header);
  forget_ids(reference.stats, their_header);
  expect(reference.stats.size() >= 50 && reference.slow.size() >= 50,
         cat("etcd says ", reference.stats.size(), " and ", reference.slow.size(), " lines"));
  std::cout << "compared " << reference.stats.size() << " and " << reference.slow.size() << " lines"
            << std::endl;
  expect(all_among(reference.stats, said.stats, "request stats"), cat("seed ", seed));
  expect(all_among(reference.slow, said.slow, "apply request took too long"), cat("seed ", seed));
}

// Whether anything took so long is the machine's affair.
std::vector<std::string> without_links_of_slow(std::vector<std::string> row) {
  for (std::string& cell : row) {
    if (cell.starts_with("[\u2265") && !cell.starts_with("[\u22650s]")) {
      cell.resize(cell.find(']') + 1);
    }
  }
  return row;
}

// A put, a read, and one that fails.
void do_some(Server& server) {
  server.client().unary("/etcdserverpb.KV/Put", cat("\x0a\x01k\x12\x06", kSecret));
  server.client().unary("/etcdserverpb.KV/Range", "\x0a\x01k");
  server.client().unary("/etcdserverpb.KV/Range", "");
}

struct Pages {
  std::vector<std::string> kv_row, event_row;
  std::set<std::string> when, elapsed, vars;
};

Pages pages_of(Server& server) {
  do_some(server);
  const Page requests = page_of(server, "/debug/requests");
  expect(requests.code == 200, "/debug/requests is served");
  expect(requests.type == "text/html; charset=utf-8", cat("it is ", requests.type));
  const Page expanded = page_of(server, "/debug/requests?fam=grpc.Recv.etcdserverpb.KV&b=0&exp=1");
  expect(expanded.body.find("/etcdserverpb.KV/Put") != std::string::npos, "a put is shown");
  expect(expanded.body.find("... RPC: from 127.0.0.1:") != std::string::npos, "and from where");
  const Page events = page_of(server, "/debug/events");
  expect(events.code == 200, "/debug/events is served");
  const Page log = page_of(server, "/debug/events?fam=grpc.Server&b=0&exp=1");
  expect(log.body.find("RegisterService(&#34;etcdserverpb.KV&#34;)") != std::string::npos,
         "the services are among the events");
  return {.kv_row = without_links_of_slow(row_of(requests.body, "grpc.Recv.etcdserverpb.KV")),
          .event_row = row_of(events.body, "grpc.Server"),
          .when = shapes_of(expanded.body, "when"),
          .elapsed = shapes_of(expanded.body, "elapsed"),
          .vars = names_in(page_of(server, "/debug/vars").body)};
}

// The allocator's numbers under Go's names.
void memory_makes_sense(Server& server) {
  const auto vars = nlohmann::json::parse(page_of(server, "/debug/vars").body, nullptr, false);
  if (!vars.is_object() || !vars.contains("memstats")) return expect(false, "no memstats");
  const auto number = [&](const char* name) { return vars["memstats"].value(name, uint64_t{0}); };
  expect(number("HeapAlloc") > 1 << 20, "something is allocated");
  expect(number("HeapAlloc") <= number("HeapInuse"), "HeapInuse");
  expect(number("HeapInuse") + number("HeapIdle") == number("HeapSys"), "HeapSys");
  expect(number("HeapReleased") <= number("HeapIdle"), "HeapReleased");
  expect(number("TotalAlloc") > number("HeapAlloc"), "TotalAlloc");
  expect(number("Mallocs") - number("Frees") == number("HeapObjects"), "HeapObjects");
  expect(number("HeapObjects") > 1000, "objects");
  uint64_t last = 0, mallocs = 0;
  for (const auto& row : vars["memstats"]["BySize"]) {
    expect(row["Size"] > last, "sizes rise");
    last = row["Size"];
    mallocs += row["Mallocs"].get<uint64_t>();
  }
  expect(mallocs > 1000 && mallocs <= number("Mallocs"), "BySize");
  expect(vars["raft.status"].value("raftState", "") == "StateLeader", "raft.status");
}

void pages_are_alike(const std::string& subject, const std::string& etcd) {
  auto plain = started(subject, {});
  for (const char* path : {"/debug/requests", "/debug/events", "/debug/pprof/cmdline"}) {
    expect(page_of(*plain, path).code == 404, cat(path, " is not served"));
  }
  auto ours = started(subject, {"--log-level=debug"});
  const Pages mine = pages_of(*ours);
  expect(page_of(*ours, "/debug/pprof/cmdline").code == 200, "profiles are served at debug level");
  for (const char* bucket : {"-1", "0", "8"}) {
    const std::string body =
        page_of(*ours, cat("/debug/requests?fam=grpc.Recv.etcdserverpb.KV&exp=1&b=", bucket)).body;
    expect(body.find(kSecret) == std::string::npos, "a value is on the page");
  }
  memory_makes_sense(*ours);
  if (etcd.empty()) return;
  auto theirs = started(etcd, {"--log-level=debug"});
  const Pages reference = pages_of(*theirs);
  const auto text = [](const auto& list) {
    std::string out;
    for (const std::string& item : list) out += cat(item, " | ");
    return out;
  };
  const auto same = [&](const auto& a, const auto& b, const char* what) {
    expect(a == b, cat(what, ": ", text(a), "\n  etcd: ", text(b)));
  };
  same(mine.kv_row, reference.kv_row, "/debug/requests");
  same(mine.when, reference.when, "times");
  same(mine.elapsed, reference.elapsed, "durations");
  // etcd 3.5 has a server for its members, too.
  std::vector<std::string> row = reference.event_row;
  for (std::string& cell : row) {
    if (cell.starts_with("[2 total]")) cell.replace(1, 1, "1");
  }
  same(mine.event_row, row, "/debug/events");
  same(mine.vars, reference.vars, "/debug/vars");
}

int run(const std::string& subject, const std::string& given_etcd, uint64_t seed, int seeds,
        int count) {
  const std::string etcd = harness::find_etcd(given_etcd, KEELSON_SOURCE_DIR);
  if (etcd.empty()) std::cout << "no etcd to compare with" << std::endl;
  pages_are_alike(subject, etcd);
  for (int i = 0; i < seeds && failures == 0; ++i) {
    logs_are_alike(subject, etcd, seed + static_cast<uint64_t>(i), count);
  }
  std::cout << (failures == 0 ? "ok" : cat(failures, " failed")) << std::endl;
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace keelson::stats

int main(int argc, char** argv) {
  CLI::App app("What a server says of requests, beside a real etcd.");
  std::string subject, etcd;
  uint64_t seed = 1;
  int seeds = 2, count = 300;
  app.add_option("--server", subject, "the server under test")->required();
  app.add_option("--etcd", etcd, "a real etcd to compare with");
  app.add_option("--seed", seed, "of the first round");
  app.add_option("--seeds", seeds, "so many rounds");
  app.add_option("--requests", count, "in each round");
  CLI11_PARSE(app, argc, argv);
  return keelson::stats::run(subject, etcd, seed, seeds, count);
}
