// attack_runner: a real server, attackers, and a client that behaves and tells what it notices of
// them.
//
//   attack_runner --server build/bin/keelson [--only NAME]… [--seconds S] [--keys N] [--no-bounds]
//
// Every attack meets a server that has been quiet before; the row says what the probe saw then and
// meanwhile, how the server's memory and CPU time grew, and whether the bounds held. Without
// --server it is a real etcd, whose rows are for comparing: no bounds are looked at.

#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <thread>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/attack/attacks.h"
#include "tests/attack/probe.h"
#include "tests/harness/server.h"

namespace keelson::attack {
namespace {

using std::chrono::milliseconds;

struct Arguments {
  std::string server;
  std::vector<std::string> flags;
  std::vector<std::string> only;
  double seconds = 4;
  int keys = 200000;
  int value_size = 256;
  bool no_bounds = false;
};

void fill(harness::Client& client, int keys, int value_size) {
  for (int from = 0; from < keys; from += 100) {
    etcdserverpb::TxnRequest txn;
    for (int i = from; i < std::min(from + 100, keys); ++i) {
      auto* put = txn.add_success()->mutable_request_put();
      put->set_key("fill/" + std::to_string(1000000 + i));
      put->set_value(std::to_string(i * 7919LL % 1000003) +
                     std::string(static_cast<size_t>(value_size), 'v'));
    }
    etcdserverpb::TxnResponse answer;
    client.unary("/etcdserverpb.KV/Txn", txn, &answer);
  }
}

struct Row {
  Latencies quiet, under;
  double grown_mb = 0, left_mb = 0, cpu_s = 0;
  double newcomer_ms = 0;
  int descriptors_left = 0;   // more than before, a few seconds after the attackers have gone
  bool served_after = false;  // somebody new
};

int descriptors_of(pid_t pid) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    ++count;
  }
  return count;
}

bool serves_somebody_new(const std::string& address) {
  etcdserverpb::RangeRequest get;
  get.set_key("probe");
  etcdserverpb::RangeResponse answer;
  harness::Client client(address);
  return client.unary("/etcdserverpb.KV/Range", get, &answer, {.deadline = milliseconds(5000)})
      .ok();
}

Latencies probe_for(Probe& probe, double seconds) {
  probe.start();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return probe.stop();
}

// The largest the server became, looked at now and then.
class Watermark {
 public:
  explicit Watermark(pid_t pid) : pid_(pid), before_(resident_mb(pid)) {
    thread_ = std::thread([this] {
      while (!over_) {
        largest_ = std::max(largest_, resident_mb(pid_));
        std::this_thread::sleep_for(milliseconds(20));
      }
    });
  }
  double stop() {
    over_ = true;
    thread_.join();
    return largest_ - before_;
  }
  double now() const { return resident_mb(pid_) - before_; }

 private:
  const pid_t pid_;
  const double before_;
  double largest_ = 0;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

Row run_one(const Attack& attack, harness::Server& server, double seconds) {
  Row row;
  Probe probe(server.address());
  row.quiet = probe_for(probe, 1);
  const int descriptors = descriptors_of(server.pid());
  if (const rlim_t most = attack.bounds.descriptors; most != 0) {
    const rlimit tight{most, most};
    prlimit(server.pid(), RLIMIT_NOFILE, &tight, nullptr);
  }
  Watermark memory(server.pid());
  const double cpu = cpu_seconds(server.pid());
  Target target{.address = server.address()};
  std::thread attacker([&] { attack.run(target); });
  row.under = probe_for(probe, seconds);
  target.over = true;
  attacker.join();
  row.newcomer_ms = target.newcomer_ms;
  row.grown_mb = memory.stop();
  row.cpu_s = cpu_seconds(server.pid()) - cpu;
  std::this_thread::sleep_for(std::chrono::seconds(3));
  row.left_mb = memory.now();
  row.descriptors_left = descriptors_of(server.pid()) - descriptors;
  row.served_after = serves_somebody_new(server.address());
  return row;
}

bool holds(const char* what, double is, double most) {
  if (most == 0 || is <= most) return true;
  std::printf("    beyond its bound: %s is %.1f, at most %.1f\n", what, is, most);
  return false;
}

bool judge(const Bounds& bounds, const Row& row) {
  bool good = holds("probe p99 ms", row.under.p99, bounds.p99_ms + row.quiet.p99);
  good &= holds("probe max ms", row.under.max, bounds.max_ms + row.quiet.max);
  good &= holds("memory grown MB", row.grown_mb, bounds.grown_mb);
  good &= holds("memory left MB", row.left_mb, bounds.left_mb);
  good &= holds("CPU s", row.cpu_s, bounds.cpu_seconds);
  good &= holds("newcomer ms", row.newcomer_ms, bounds.newcomer_ms);
  good &= holds("descriptors left", row.descriptors_left, 20);
  if (!row.served_after) {
    std::printf("    nobody new is served afterwards\n");
    good = false;
  }
  if (row.under.failed > 0) {
    std::printf("    %zu probes failed\n", row.under.failed);
    good = false;
  }
  return good;
}

// In an orderly way, by the signal. A server built with AddressSanitizer looks then for what
// leaked, and exits instead if something did.
bool leaves(harness::Server& server) {
  const absl::Status status = server.stop();
  if (!status.ok()) {
    std::cout << "    " << status.message() << "\n";
  } else if (server.exit_text() != cat("killed by signal ", SIGTERM)) {
    std::cout << "    the server did not end by SIGTERM: " << server.exit_text() << "\n";
  } else {
    return true;
  }
  return false;
}

int run(const Arguments& arguments) {
  const std::string binary = harness::find_etcd(arguments.server, KEELSON_SOURCE_DIR);
  if (binary.empty()) {
    std::cout << "skipped: no server\n";
    return harness::kSkipped;
  }
  std::printf("%-16s %9s %9s %9s %9s %8s %8s %7s\n", "attack", "quiet p99", "quiet max", "p99 ms",
              "max ms", "grew MB", "left MB", "CPU s");
  bool good = true;
  for (const Attack& attack : attacks()) {
    if (!arguments.only.empty() && std::find(arguments.only.begin(), arguments.only.end(),
                                             attack.name) == arguments.only.end()) {
      continue;
    }
    std::vector<std::string> flags = arguments.server.empty() ? arguments.flags : attack.flags;
    if (!arguments.server.empty()) {
      flags.insert(flags.end(), arguments.flags.begin(), arguments.flags.end());
    }
    harness::Server server({binary, flags, {}, "", attack.https_too});
    if (const absl::Status status = server.start(); !status.ok()) {
      std::cout << status.message() << "\n";
      return 1;
    }
    fill(server.client(), arguments.keys, arguments.value_size);
    const Row row = run_one(attack, server, arguments.seconds);
    std::printf("%-16s %9.1f %9.1f %9.1f %9.1f %8.0f %8.0f %7.1f\n", attack.name, row.quiet.p99,
                row.quiet.max, row.under.p99, row.under.max, row.grown_mb, row.left_mb, row.cpu_s);
    if (row.newcomer_ms > 0) std::printf("    the slowest newcomer: %.0f ms\n", row.newcomer_ms);
    std::fflush(stdout);
    if (server.exited()) {
      std::cout << "    the server has ended: " << server.exit_text() << "\n";
      good = false;
      continue;
    }
    if (!arguments.server.empty() && !arguments.no_bounds) good &= judge(attack.bounds, row);
    good &= leaves(server);
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace keelson::attack

int main(int argc, char** argv) {
  keelson::attack::Arguments arguments;
  CLI::App app("Attacks a server and tells what a client that behaves notices of it.");
  app.add_option("--server", arguments.server, "the server to start (else a real etcd)");
  app.add_option("--flag", arguments.flags, "one more flag for it");
  app.add_option("--only", arguments.only, "this attack, not all");
  app.add_option("--seconds", arguments.seconds, "how long each goes on");
  app.add_option("--keys", arguments.keys, "keys in the store");
  app.add_option("--value-size", arguments.value_size, "and how long their values are");
  app.add_flag("--no-bounds", arguments.no_bounds, "only tell");
  CLI11_PARSE(app, argc, argv);
  return keelson::attack::run(arguments);
}
