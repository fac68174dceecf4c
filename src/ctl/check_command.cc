// check perf, check datascale: puts a load on the cluster and says whether it bears it, or how much
// memory a member takes for it. The keys are deleted again.

#include <signal.h>

#include <cstdio>
#include <map>
#include <ostream>

#include "base/progress_line.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/keys.h"
#include "ctl/load_run.h"
#include "ctl/memory_metric.h"

namespace keelson::ctl {
namespace {

constexpr Nanos kCleanupTimeout = std::chrono::seconds(30);
constexpr double kPerfSeconds = 60;
// What a cluster has to keep up with.
constexpr double kLeastOfRate = 0.9, kSlowest = 0.5, kStddev = 0.1;  // seconds, the last two

struct Size {
  int perf_rate, clients;
  int64_t datascale_keys;
};

const Size* size_of(const std::string& name) {
  static const Size small{150, 50, 10'000}, medium{1'000, 200, 100'000},
      large{8'000, 500, 1'000'000}, largest{15'000, 1'000, 3'000'000};
  static const std::map<std::string_view, const Size*> sizes = {
      {"s", &small}, {"small", &small}, {"m", &medium},   {"medium", &medium},
      {"l", &large}, {"large", &large}, {"xl", &largest}, {"xLarge", &largest}};
  const auto found = sizes.find(name);
  return found == sizes.end() ? nullptr : found->second;
}

volatile sig_atomic_t interrupted = 0;

// While it lives, an interrupt ends the load and not the program: the keys are to be deleted.
class Interruptible {
 public:
  Interruptible() {
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = 1; };
    sigaction(SIGINT, &action, &before_);
  }
  ~Interruptible() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// What both checks have in common: the keys' place has to be empty before, and is so afterwards.
class Check {
 public:
  Check(Invocation& in, Session& session)
      : in_(in), session_(session), prefix_(in.flags.text("prefix")) {}

  absl::Status expect_empty() {
    pb::RangeRequest request;
    request.set_key(prefix_);
    request.set_range_end(prefix_end(prefix_));
    request.set_limit(1);
    auto response = session_.client->call(request, std::nullopt);
    if (!response.ok()) return response.status();
    if (response->kvs().empty()) return absl::OkStatus();
    return failure(ExitCode::kInvalidInput,
                   cat("prefix ", go_quote(prefix_),
                       " has keys. Delete with 'keelctl del --prefix ", prefix_, "' first"));
  }

  // `show` gets the puts made so far.
  template <typename Show>
  absl::StatusOr<LoadResult> run(LoadPlan plan, Show&& show) {
    plan.prefix = prefix_;
    Interruptible while_it_runs;
    return run_load(session_.options, plan, [&](int64_t made) {
      show(made);
      return interrupted == 0;
    });
  }

  absl::Status clean_up() {
    pb::DeleteRangeRequest request;
    request.set_key(prefix_);
    request.set_range_end(prefix_end(prefix_));
    auto deleted = session_.client->call(request, kCleanupTimeout);
    if (!deleted.ok()) {
      in_.console.out << "FAIL: Cleanup failed during key deletion: ERROR("
                      << message_of(deleted.status()) << ")\n";
      return absl::OkStatus();
    }
    if (in_.flags.boolean("auto-compact")) {
      if (absl::Status status = compact(deleted->header().revision()); !status.ok()) return status;
    }
    return in_.flags.boolean("auto-defrag") ? defragment() : absl::OkStatus();
  }

  // False if there were none.
  bool show_errors(const LoadResult& result) {
    if (result.errors.empty()) return false;
    in_.console.out << "FAIL: too many errors\n";
    for (const auto& [text, times] : result.errors) {
      in_.console.out << "FAIL: ERROR(" << text << ") -> " << times << "\n";
    }
    return true;
  }

 private:
  absl::Status compact(int64_t revision) {
    in_.console.out << "Compacting with revision " << revision << "\n";
    pb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(true);
    auto response = session_.client->call(request, kCleanupTimeout);
    if (!response.ok()) return response.status();
    in_.console.out << "Compacted with revision " << revision << "\n";
    return absl::OkStatus();
  }
  absl::Status defragment() {
    for (const std::string& endpoint : session_.options.endpoints) {
      in_.console.out << "Defragmenting " << go_quote(endpoint) << "\n";
      auto client = connect_to(session_, endpoint);
      if (!client.ok()) return client.status();
      auto response = (*client)->call(pb::DefragmentRequest(), kCleanupTimeout);
      if (!response.ok()) return response.status();
      in_.console.out << "Defragmented " << go_quote(endpoint) << "\n";
    }
    return absl::OkStatus();
  }

  Invocation& in_;
  Session& session_;
  const std::string prefix_;
};

absl::StatusOr<const Size*> wanted_size(Invocation& in) {
  const Size* size = size_of(in.flags.text("load"));
  if (size != nullptr) return size;
  return failure(ExitCode::kBadFeature, cat("unknown load option ", in.flags.text("load")));
}

absl::Status run_perf(Invocation& in) {
  auto size = wanted_size(in);
  if (!size.ok()) return size.status();
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  Check check(in, *session);
  if (absl::Status status = check.expect_empty(); !status.ok()) return status;
  const double rate = (*size)->perf_rate;
  absl::StatusOr<LoadResult> result;
  {
    ProgressLine progress("puts", ProgressLine::Counts::kPieces);
    const auto all = static_cast<uint64_t>(rate * kPerfSeconds);
    result = check.run({.clients = (*size)->clients,
                        .rate = rate,
                        .seconds = kPerfSeconds,
                        .key_bytes = 256,
                        .value_bytes = 1024},
                       [&](int64_t made) { progress.at(static_cast<uint64_t>(made), all); });
  }
  if (!result.ok()) return result.status();
  if (absl::Status status = check.clean_up(); !status.ok()) return status;

  std::ostream& out = in.console.out;
  bool good = !check.show_errors(*result);
  auto judge = [&](bool passed, std::string_view pass, std::string_view fail,
                   const std::string& what) {
    out << (passed ? pass : fail) << what << "\n";
    good = good && passed;
  };
  judge(
      result->per_second / rate > kLeastOfRate, "PASS: Throughput is ",
      "FAIL: Throughput too low: ", cat(static_cast<int64_t>(result->per_second) + 1, " writes/s"));
  judge(result->slowest <= kSlowest, "PASS: Slowest request took ",
        "Slowest request took too long: ", fixed(result->slowest, 6) + "s");
  judge(result->stddev <= kStddev, "PASS: Stddev is ",
        "Stddev too high: ", fixed(result->stddev, 6) + "s");
  out << (good ? "PASS\n" : "FAIL\n");
  return good ? absl::OkStatus() : already_reported(static_cast<int>(ExitCode::kError));
}

// Prints why there is no figure.
std::optional<double> memory_of(Invocation& in, const Session& session, std::string_view when) {
  auto bytes = resident_memory(session.options.endpoints.front(), session.options.tls);
  if (bytes.ok() && *bytes > 0) return *bytes;
  if (!bytes.ok()) in.console.out << message_of(bytes.status()) << "\n";
  in.console.out << "FAIL: Could not read process_resident_memory_bytes " << when
                 << " the put operations.\n";
  return std::nullopt;
}

absl::Status run_datascale(Invocation& in) {
  auto size = wanted_size(in);
  if (!size.ok()) return size.status();
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  Check check(in, *session);
  if (absl::Status status = check.expect_empty(); !status.ok()) return status;
  const absl::Status failed = already_reported(static_cast<int>(ExitCode::kError));
  const std::optional<double> before = memory_of(in, *session, "before");
  if (!before) return failed;
  const int64_t keys = (*size)->datascale_keys;
  in.console.out << "Start data scale check for work load [" << keys
                 << " key-value pairs, 1024 bytes per key-value, " << (*size)->clients
                 << " concurrent clients].\n"
                 << std::flush;
  absl::StatusOr<LoadResult> result;
  {
    ProgressLine progress("puts", ProgressLine::Counts::kPieces);
    result = check.run(
        {.clients = (*size)->clients, .count = keys, .key_bytes = 512, .value_bytes = 512},
        [&](int64_t made) {
          progress.at(static_cast<uint64_t>(made), static_cast<uint64_t>(keys));
        });
  }
  if (!result.ok()) return result.status();
  const std::optional<double> after = memory_of(in, *session, "after");
  if (absl::Status status = check.clean_up(); !status.ok()) return status;
  if (!after || check.show_errors(*result)) return failed;
  in.console.out << "PASS: Approximate system memory used : "
                 << fixed((*after - *before) / (1024 * 1024), 2) << " MB.\n";
  return absl::OkStatus();
}

std::vector<Flag> check_flags(std::string kind, std::string prefix) {
  return {{.name = "load",
           .default_value = "s",
           .usage = cat("The ", kind,
                        " check's workload model. Accepted workloads: s(small), m(medium), "
                        "l(large), xl(xLarge)")},
          {.name = "prefix",
           .default_value = std::move(prefix),
           .usage = cat("The prefix for writing the ", kind, " check's keys.")},
          {.name = "auto-compact",
           .type = FlagType::kBool,
           .default_value = "false",
           .usage = "Compact storage with last revision after test is finished."},
          {.name = "auto-defrag",
           .type = FlagType::kBool,
           .default_value = "false",
           .usage = "Defragment storage after test is finished."}};
}

}  // namespace

Command check_command() {
  Command check{.use = "check <subcommand>",
                .brief =
                    "commands for checking properties of the etcd cluster. Use `keelctl check "
                    "--help` to see subcommands",
                .details = "commands for checking properties of the etcd cluster",
                .group = std::string(kUtilityGroup)};
  check.commands = {
      {.use = "perf [options]",
       .brief = "Check the performance of the etcd cluster",
       .group = "",
       .flags = check_flags("performance", "/etcdctl-check-perf/"),
       .run = run_perf},
      {.use = "datascale [options]",
       .brief = "Check the memory usage of holding data for different workloads on a given server "
                "endpoint.",
       .details = "If no endpoint is provided, localhost will be used. If multiple endpoints are "
                  "provided, first endpoint will be used.",
       .group = "",
       .flags = check_flags("datascale", "/etcdctl-check-datascale/"),
       .run = run_datascale}};
  return check;
}

}  // namespace keelson::ctl
