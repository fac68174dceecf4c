// trace_replay: what a real kube-apiserver said to etcd, said again to another server.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <iostream>
#include <thread>

#include "tests/cluster/cluster.h"
#include "tests/cluster/load.h"
#include "tests/harness/server.h"
#include "tests/trace/load.h"
#include "tests/trace/serial.h"

namespace keelson::trace {
namespace {

struct Arguments {
  std::string path = KEELSON_SOURCE_DIR "/../shared/kubernetes-trace/trace.jsonl.xz";
  std::string server;
  std::string endpoint;
  int clients = 0;
  int rounds = 1;
  int kills = 0;
  bool bench = false;
};

int serially(const Trace& trace, harness::Client& client) {
  const SerialResult result = replay_serially(trace, client);
  std::cout << result.calls << " calls, " << result.differences << " answers differ, "
            << result.unimplemented << " not implemented; " << result.watches << " watches, "
            << result.events << " events, " << result.watch_differences << " differ, "
            << result.compacted << " compacted away\n";
  return result.differences + result.unimplemented + result.watch_differences == 0 ? 0 : 1;
}

int concurrently(const Trace& trace, const std::string& address, const Arguments& arguments) {
  const LoadResult result = replay_concurrently(
      trace, {.addresses = {address}, .clients = arguments.clients, .rounds = arguments.rounds});
  std::cout << result.calls << " calls from " << arguments.clients << " clients, "
            << result.unexpected << " unexpected errors, " << result.other_history
            << " about revisions or leases of another history, " << result.unimplemented
            << " not implemented\n";
  if (arguments.bench) print_percentiles(result);
  return result.unexpected == 0 && result.unimplemented == 0 ? 0 : 1;
}

// Through three members at once, while whoever leads is killed and comes back, again and again.
// What other clients had acknowledged is there afterwards, and all members hold the same.
int through_a_cluster(const Trace& trace, const Arguments& arguments, const std::string& binary) {
  cluster::Cluster members({binary, binary, binary});
  members.start();
  const std::vector<std::string> addresses = members.addresses();
  cluster::Load beside("beside", addresses, 1);
  std::atomic<bool> enough{false};
  LoadResult result;
  std::thread clients([&] {
    result = replay_concurrently(trace, {.addresses = addresses,
                                         .clients = std::max(arguments.clients, 6),
                                         .rounds = 1000,
                                         .members_come_and_go = true,
                                         .enough = &enough});
  });
  auto more = [&](const std::string& when) {
    const uint64_t before = beside.acknowledged();
    members.check(cluster::eventually([&] { return beside.acknowledged() > before + 50; }),
                  "work goes on " + when);
  };
  for (int kill = 0; kill < arguments.kills; ++kill) {
    more("with all");
    const int leader = members.leader();
    if (leader < 0) break;
    members.at(leader).kill();
    more("without the leader");
    members.check(members.at(leader).start(), "it comes back");
  }
  enough = true;
  clients.join();
  beside.stop();
  for (int i = 0; i < members.size(); ++i) beside.check(members, i);
  members.expect_equal();
  std::cout << arguments.kills << " leaders killed; " << result.calls << " calls, "
            << result.unavailable << " found nobody, " << result.unexpected
            << " unexpected errors, " << result.unimplemented << " not implemented; beside them "
            << beside.acknowledged() << " writes, none without an answer for more than "
            << beside.longest_gap().count() << " ms\n";
  return members.ok() && result.unexpected + result.unimplemented == 0 ? 0 : 1;
}

int run(const Arguments& arguments) {
  absl::StatusOr<Trace> trace = read_trace(arguments.path);
  if (!trace.ok()) {
    std::cout << "skipped: " << trace.status().message() << "\n";
    return absl::IsNotFound(trace.status()) ? harness::kSkipped : 1;
  }
  std::unique_ptr<harness::Server> server;
  std::string address = arguments.endpoint;
  if (address.empty()) {
    const std::string binary = harness::find_etcd(arguments.server, KEELSON_SOURCE_DIR);
    if (binary.empty()) {
      std::cout << "skipped: no server\n";
      return harness::kSkipped;
    }
    if (arguments.kills > 0) return through_a_cluster(*trace, arguments, binary);
    server = std::make_unique<harness::Server>(harness::ServerOptions{binary, {}, {}, ""});
    if (const absl::Status status = server->start(); !status.ok()) {
      std::cout << status.message() << "\n";
      return 1;
    }
    address = server->address();
  }
  if (arguments.clients > 0) return concurrently(*trace, address, arguments);
  harness::Client client(address);
  return serially(*trace, client);
}

}  // namespace
}  // namespace keelson::trace

int main(int argc, char** argv) {
  keelson::trace::Arguments arguments;
  CLI::App app("Replays a recording of Kubernetes' requests; compares every answer.");
  app.add_option("--trace", arguments.path, "the recording, .jsonl.xz");
  app.add_option("--server", arguments.server, "a server to start (else a real etcd)");
  app.add_option("--endpoint", arguments.endpoint, "host:port of one that runs, and is empty");
  app.add_option("--concurrent", arguments.clients, "replay as a load from so many clients");
  app.add_option("--rounds", arguments.rounds, "how often, as a load");
  app.add_option("--kill-leaders", arguments.kills,
                 "replay as a load on three members, of which the leader is killed so many times");
  app.add_flag("--bench", arguments.bench, "print throughput and latency percentiles");
  CLI11_PARSE(app, argc, argv);
  if (arguments.bench && arguments.clients == 0) arguments.clients = 1;
  return keelson::trace::run(arguments);
}
