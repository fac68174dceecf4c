// watch, also interactive (`watch -i` reads "watch …" and "progress" lines).

#include <unistd.h>

#include <cstdlib>
#include <istream>
#include <ostream>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/txn_grammar.h"
#include "ctl/watch_arguments.h"
#include "ctl/watch_session.h"

namespace keelson::ctl {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A line of the interactive mode. An error ends the whole command, as in etcdctl.
absl::Status obey(const std::string& line, const WatchEnvironment& environment,
                  WatchSession& watches, Console& console) {
  auto words = argify(line);
  if (!words.ok()) return words.status();
  if (words->empty()) {
    console.err << "Invalid command: " << line << " (watch and progress supported)\n";
    return absl::OkStatus();
  }
  const std::string& verb = words->front();
  if (verb == "progress") return watches.progress(), absl::OkStatus();
  if (verb != "watch") {
    console.err << "Invalid command " << line << " (only support watch)\n";
    return absl::OkStatus();
  }
  if (words->size() < 2 && environment.key.empty()) {
    console.err << "Invalid command " << line << " (command type or key is not provided)\n";
    return absl::OkStatus();
  }
  FlagSet flags;
  flags.add_all(watch_flags());
  absl::Status parsed = flags.parse({words->begin() + 1, words->end()});
  if (!parsed.ok()) return with_exit_code(parsed, ExitCode::kBadArgs);
  auto plan = plan_watch(flags, environment);
  if (!plan.ok()) return plan.status();
  watches.add(*std::move(plan));
  return absl::OkStatus();
}

absl::Status interact(Invocation& in, Session& session, const WatchEnvironment& environment) {
  WatchSession watches(*session.client, *session.printer, in.console, /*interactive=*/true);
  std::string line;
  while (std::getline(in.console.in, line) && !in.console.in.eof()) {
    absl::Status status = obey(line, environment, watches, in.console);
    if (!status.ok()) return status;
  }
  return failure(ExitCode::kInvalidInput, "error reading watch request line: EOF");
}

absl::Status run_watch(Invocation& in) {
  WatchEnvironment environment{variable("ETCDCTL_WATCH_KEY"), variable("ETCDCTL_WATCH_RANGE_END")};
  if (environment.key.empty() && !environment.range_end.empty()) {
    return failure(ExitCode::kBadArgs,
                   cat("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=",
                       go_quote(environment.range_end)));
  }
  bool interactive = in.flags.boolean("interactive");
  WatchPlan plan;
  if (!interactive) {
    auto planned = plan_watch(in.flags, environment);
    if (!planned.ok()) return planned.status();
    plan = *std::move(planned);
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  if (interactive) return interact(in, *session, environment);
  WatchSession watches(*session->client, *session->printer, in.console, /*interactive=*/false);
  watches.add(std::move(plan));
  return watches.wait();
}

}  // namespace

Command watch_command() {
  return {.use = "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
          .brief = "Watches events stream on keys or prefixes",
          .details = "",
          .group = std::string(kKeyValueGroup),
          .flags = watch_flags(),
          .run = run_watch};
}

}  // namespace keelson::ctl
