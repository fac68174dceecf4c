// crash_test: load with known writes, kill -9, restart, and every promise checked; round after
// round.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <map>
#include <thread>

#include "base/text.h"
#include "tests/crash/checker.h"
#include "tests/crash/corruption.h"
#include "tests/crash/failpoints.h"
#include "tests/crash/watcher.h"
#include "tests/harness/server.h"

namespace keelson::crash {
namespace {

namespace fs = std::filesystem;
using harness::Milliseconds;
using harness::Server;

constexpr int kLongestRun = 1500;         // milliseconds of load before a random kill
constexpr int kFailpointPatience = 5000;  // milliseconds for a failpoint to be reached

struct Arguments {
  std::string server;
  int rounds = 20;
  uint64_t seed = 0;
  int clients = 8;
  std::vector<std::string> failpoints;  // names; empty: all
  bool plain = false;                   // no failpoints, no flags of ours: any etcd
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
    absl::Status status = run_rounds();
    for (const auto& [name, count] : struck_)
      std::cout << "died at " << name << ": " << count << "\n";
    std::cout << killed_ << " killed at a random moment, " << starting_ << " while starting; "
              << checker_.acknowledged() << " acknowledged writes, " << checker_.in_doubt()
              << " in doubt of which " << checker_.survived() << " survived, " << checker_.watched()
              << " events watched live" << std::endl;
    return status;
  }

 private:
  absl::Status run_rounds() {
    for (int round = 0; round < arguments_.rounds; ++round) {
      if (absl::Status status = one_round(round); !status.ok()) return status;
    }
    server_.kill();
    absl::Status status = corrupt(Target::kWal, arguments_.corrupt_wal);
    return status.ok() ? corrupt(Target::kBackend, arguments_.corrupt_backend) : status;
  }

  absl::Status one_round(int round) {
    const Failpoint* point = round % 4 == 3 ? nullptr : choose();
    std::string how = point != nullptr ? arm(*point, point->latest_hit) : "random moment";
    if (absl::Status status = server_.start(); !status.ok()) {
      // A failpoint may strike while the log is replayed; then there was no load.
      if (point == nullptr || !died_of_kill()) return status;
      struck(*point, &how);
      how += " (at the start)";
    } else if (absl::Status loaded = load(point, &how); !loaded.ok()) {
      return loaded;
    }
    server_.set_environment({});
    if (random_.below(3) == 0) {
      if (absl::Status status = crash_while_starting(); !status.ok()) return status;
      how += ", and while starting";
    }
    if (absl::Status status = server_.start(); !status.ok()) return status;
    absl::Status status = checker_.check(server_.client(), last_, watched_);
    last_.clear();
    watched_.clear();
    for (Loader& loader : loaders_) loader.lease = checker_.lease_of(loader.client);
    std::cout << "round " << round << ": " << how << "; revision " << checker_.revision() << ", "
              << checker_.acknowledged() << " acknowledged, " << checker_.in_doubt()
              << " in doubt of which " << checker_.survived() << " survived, " << checker_.watched()
              << " watched" << std::endl;
    server_.kill();
    return status;
  }

  absl::Status load(const Failpoint* point, std::string* how) {
    Watcher watcher(server_.address(), checker_.revision() + 1);
    absl::Status status;
    last_ = run_load(server_.address(), &loaders_, checker_.revision(),
                     [&] { status = crash(point, how); });
    watched_ = watcher.finish();
    return status;
  }

  const Failpoint* choose() {
    if (arguments_.plain) return nullptr;
    const auto all = failpoints();
    while (true) {
      const Failpoint& point = all[random_.below(all.size())];
      const auto& wanted = arguments_.failpoints;
      if (wanted.empty() || std::find(wanted.begin(), wanted.end(), point.name) != wanted.end()) {
        return &point;
      }
    }
  }

  std::string arm(const Failpoint& point, uint64_t latest) {
    const std::string spec = cat(point.name, "=crash@", 1 + random_.below(latest));
    server_.set_environment({"KEELSON_FAILPOINTS=" + spec});
    return spec;
  }

  // Ends the server at a random moment, or when its failpoint does.
  absl::Status crash(const Failpoint* point, std::string* how) {
    const auto now = std::chrono::steady_clock::now();
    const bool patient = point != nullptr && !point->when_stopping;
    const auto span = Milliseconds(patient ? kFailpointPatience
                                           : static_cast<int>(20 + random_.below(kLongestRun)));
    while (std::chrono::steady_clock::now() < now + span && !server_.exited()) {
      std::this_thread::sleep_for(Milliseconds(1));
    }
    if (point != nullptr && point->when_stopping) server_.stop().IgnoreError();
    if (!server_.exited()) {
      server_.kill();
      ++killed_;
      if (point != nullptr) *how += " (not reached)";
      return absl::OkStatus();
    }
    if (point == nullptr || !died_of_kill()) {
      return absl::InternalError(
          cat("the server ended by itself: ", server_.exit_text(), "\n", server_.log_tail()));
    }
    struck(*point, how);
    return absl::OkStatus();
  }

  bool died_of_kill() { return server_.exited() && server_.exit_text() == "killed by signal 9"; }

  void struck(const Failpoint& point, std::string* how) {
    ++struck_[std::string(point.name)];
    *how += " struck";
  }

  absl::Status crash_while_starting() {
    if (const Failpoint* point = choose(); point != nullptr && random_.below(2) == 0) {
      arm(*point, 3);
    }
    if (absl::Status status = server_.launch(); !status.ok()) return status;
    const auto until =
        std::chrono::steady_clock::now() + Milliseconds(static_cast<int>(random_.below(400)));
    while (std::chrono::steady_clock::now() < until && !server_.exited()) {
      std::this_thread::sleep_for(Milliseconds(1));
    }
    const bool refused = server_.exited() && !died_of_kill();
    server_.set_environment({});
    server_.kill();
    ++starting_;
    if (!refused) return absl::OkStatus();
    return absl::InternalError(cat("did not start: ", server_.log_tail()));
  }

  // Each time on a copy of the data: refusing, an error and right answers are all fine; wrong data
  // is not.
  absl::Status corrupt(Target target, int times) {
    int refused = 0;
    int errors = 0;
    int harmless = 0;
    if (times > 0) {
      // The control: whatever a damaged copy shows must not be there without the damage.
      const std::string clean = server_.data_dir() + "-clean";
      fs::remove_all(clean);
      fs::copy(server_.data_dir(), clean, fs::copy_options::recursive);
      Server control({arguments_.server, arguments_.flags, {}, clean});
      absl::Status status = control.start();
      Checker checker = checker_;
      if (status.ok()) {
        status = checker.check(control.client(), std::vector<std::vector<Write>>(loaders_.size()));
      }
      if (!status.ok()) return absl::Status(status.code(), cat("undamaged: ", status.message()));
    }
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
      if (absl::IsDataLoss(status)) {
        std::cout << victim.log_tail() << std::endl;
        return status;
      }
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
  std::vector<mvccpb::Event> watched_;
  std::map<std::string, int> struck_;
  int killed_ = 0;
  int starting_ = 0;
};

int run(Arguments arguments) {
  if (arguments.server.empty()) arguments.plain = true;  // an etcd
  arguments.server = harness::find_etcd(arguments.server, KEELSON_SOURCE_DIR);
  if (!arguments.plain) {
    const auto ours = flags_for_failpoints();
    arguments.flags.insert(arguments.flags.begin(), ours.begin(), ours.end());
  }
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
  app.add_option("--failpoints", arguments.failpoints, "names to crash at (all)")->delimiter(',');
  app.add_flag("--plain", arguments.plain, "kill -9 only, and none of our flags");
  app.add_option("--flag", arguments.flags, "another flag for the server");
  app.add_option("--corrupt-wal", arguments.corrupt_wal, "single bytes of the log to corrupt");
  app.add_option("--corrupt-backend", arguments.corrupt_backend, "single bytes of the backend");
  CLI11_PARSE(app, argc, argv);
  return keelson::crash::run(std::move(arguments));
}
