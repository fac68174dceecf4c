// crash_test: load with known writes, kill -9, restart, and every promise checked; round after
// round.

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <thread>

#include "base/text.h"
#include "tests/crash/checker.h"
#include "tests/crash/corruption.h"
#include "tests/harness/server.h"

namespace keelson::crash {
namespace {

namespace fs = std::filesystem;
using harness::Milliseconds;
using harness::Server;

constexpr int kLongestRun = 1500;              // milliseconds of load before a random kill
constexpr int kFailpointPatience = 10000;      // milliseconds for a failpoint to be reached
constexpr uint64_t kLatestFailpointHit = 400;  // crash@N with N up to this

struct Arguments {
  std::string server;
  int rounds = 20;
  uint64_t seed = 0;
  int clients = 8;
  std::vector<std::string> failpoints;  // names
  std::vector<std::string> flags;
  int corrupt_wal = 0;
  int corrupt_backend = 0;
};

class CrashTest {
 public:
  explicit CrashTest(const Arguments& arguments)
      : arguments_(arguments),
        random_(arguments.seed),
        server_({arguments.server, arguments.flags, {}, ""}) {
    for (int i = 0; i < arguments.clients; ++i) {
      Loader& loader = loaders_.emplace_back();
      loader.client = i;
      loader.random = SeededRandom(random_.next());
    }
  }

  absl::Status run() {
    for (int round = 0; round < arguments_.rounds; ++round) {
      if (absl::Status status = one_round(round); !status.ok()) return status;
    }
    server_.kill();
    absl::Status status = corrupt(Target::kWal, arguments_.corrupt_wal);
    return status.ok() ? corrupt(Target::kBackend, arguments_.corrupt_backend) : status;
  }

  const Checker& checker() const { return checker_; }

 private:
  absl::Status one_round(int round) {
    const bool at_failpoint = !arguments_.failpoints.empty() && round % 2 == 1;
    std::string how = "random moment";
    if (at_failpoint) how = arm();
    if (absl::Status status = server_.start(); !status.ok()) {
      // A failpoint may strike while the log is replayed; then there was no load.
      if (!at_failpoint || !server_.exited()) return status;
      how += " (at the start)";
    } else {
      last_ =
          run_load(server_.address(), &loaders_, checker_.revision(), [&] { crash(at_failpoint); });
    }
    server_.set_environment({});
    if (random_.below(3) == 0) {
      if (absl::Status status = crash_while_starting(); !status.ok()) return status;
      how += ", and while starting";
    }
    if (absl::Status status = server_.start(); !status.ok()) return status;
    absl::Status status = checker_.check(server_.client(), last_);
    last_.clear();
    for (Loader& loader : loaders_) loader.lease = checker_.lease_of(loader.client);
    std::cout << "round " << round << ": " << how << "; revision " << checker_.revision() << ", "
              << checker_.acknowledged() << " acknowledged, " << checker_.in_doubt()
              << " in doubt of which " << checker_.survived() << " survived" << std::endl;
    server_.kill();
    return status;
  }

  std::string arm() {
    const std::string& name = arguments_.failpoints[random_.below(arguments_.failpoints.size())];
    const std::string spec = cat(name, "=crash@", 1 + random_.below(kLatestFailpointHit));
    server_.set_environment({"KEELSON_FAILPOINTS=" + spec});
    return spec;
  }

  // Ends the server at a random moment, or when its failpoint does.
  void crash(bool at_failpoint) {
    const auto now = std::chrono::steady_clock::now();
    const auto span = at_failpoint ? Milliseconds(kFailpointPatience)
                                   : Milliseconds(20 + random_.below(kLongestRun));
    while (std::chrono::steady_clock::now() < now + span && !server_.exited()) {
      std::this_thread::sleep_for(Milliseconds(1));
    }
    server_.kill();
  }

  absl::Status crash_while_starting() {
    if (absl::Status status = server_.launch(); !status.ok()) return status;
    std::this_thread::sleep_for(Milliseconds(random_.below(400)));
    server_.kill();
    return absl::OkStatus();
  }

  // Each time on a copy of the data: refusing, an error and right answers are all fine; wrong data
  // is not.
  absl::Status corrupt(Target target, int times) {
    int refused = 0;
    int errors = 0;
    int harmless = 0;
    for (int i = 0; i < times; ++i) {
      const std::string copy = server_.data_dir() + "-corrupted";
      fs::remove_all(copy);
      fs::copy(server_.data_dir(), copy, fs::copy_options::recursive);
      absl::StatusOr<std::string> where = corrupt_one_byte(copy, target, &random_);
      if (!where.ok()) return where.status();
      Server victim({arguments_.server, arguments_.flags, {}, copy});
      const absl::Status started = victim.start(Milliseconds(20000));
      Checker checker = checker_;
      const absl::Status status =
          started.ok()
              ? checker.check(victim.client(), std::vector<std::vector<Write>>(loaders_.size()))
              : started;
      std::cout << "corrupted " << *where << ": "
                << (!started.ok() ? "refused to start"
                    : status.ok() ? "serves what is right"
                                  : std::string(status.message()).substr(0, 300))
                << std::endl;
      if (absl::IsDataLoss(status)) return status;
      ++(!started.ok() ? refused : status.ok() ? harmless : errors);
    }
    if (times > 0) {
      std::cout << (target == Target::kWal ? "wal: " : "backend: ") << refused << " refused, "
                << errors << " answered errors, " << harmless << " harmless\n";
    }
    return absl::OkStatus();
  }

  const Arguments& arguments_;
  SeededRandom random_;
  Server server_;
  Checker checker_;
  std::vector<Loader> loaders_;
  std::vector<std::vector<Write>> last_;
};

int run(Arguments arguments) {
  arguments.server = harness::find_etcd(arguments.server, KEELSON_SOURCE_DIR);
  if (arguments.server.empty()) {
    std::cout << "skipped: no server\n";
    return harness::kSkipped;
  }
  std::cout << "seed " << arguments.seed << std::endl;
  CrashTest test(arguments);
  const absl::Status status = test.run();
  if (status.ok()) return 0;
  std::cout << "FAILED (seed " << arguments.seed << "): " << status.message() << "\n";
  return 1;
}

}  // namespace
}  // namespace keelson::crash

int main(int argc, char** argv) {
  keelson::crash::Arguments arguments;
  arguments.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                         std::chrono::seconds(1));
  CLI::App app("Kills a server under load, again and again, and checks every promise it made.");
  app.add_option("--server", arguments.server, "the server (else a real etcd)");
  app.add_option("--rounds", arguments.rounds, "how often to kill it");
  app.add_option("--seed", arguments.seed, "of the writes and the moments");
  app.add_option("--clients", arguments.clients, "that write at once");
  app.add_option("--failpoints", arguments.failpoints, "names to crash at, every other round")
      ->delimiter(',');
  app.add_option("--flag", arguments.flags, "another flag for the server");
  app.add_option("--corrupt-wal", arguments.corrupt_wal, "single bytes of the log to corrupt");
  app.add_option("--corrupt-backend", arguments.corrupt_backend, "single bytes of the backend");
  CLI11_PARSE(app, argc, argv);
  return keelson::crash::run(std::move(arguments));
}
