#include "ctl/watch_arguments.h"

#include "ctl/keys.h"
#include "ctl/outcome.h"

namespace keelson::ctl {
namespace {

absl::Status bad_arguments(std::string_view text) { return failure(ExitCode::kBadArgs, text); }

// The key and range end named before "--" or by the environment.
absl::StatusOr<std::vector<std::string>> watched_keys(const FlagSet& flags,
                                                      const WatchEnvironment& environment) {
  const auto& args = flags.arguments();
  size_t count = flags.before_dash().value_or(args.size());
  std::vector<std::string> keys(args.begin(), args.begin() + static_cast<ptrdiff_t>(count));
  if (!environment.key.empty()) {
    if (!keys.empty()) {
      return bad_arguments("bad number of arguments (found conflicting environment key)");
    }
    keys.push_back(environment.key);
    if (!environment.range_end.empty()) keys.push_back(environment.range_end);
  }
  if (keys.empty()) return bad_arguments("bad number of arguments");
  return keys;
}

}  // namespace

std::vector<Flag> watch_flags() {
  using enum FlagType;
  return {
      {.name = "interactive",
       .shorthand = 'i',
       .type = kBool,
       .default_value = "false",
       .usage = "Interactive mode"},
      {.name = "prefix",
       .type = kBool,
       .default_value = "false",
       .usage = "Watch on a prefix if prefix is set"},
      {.name = "rev", .type = kInt64, .default_value = "0", .usage = "Revision to start watching"},
      {.name = "prev-kv",
       .type = kBool,
       .default_value = "false",
       .usage = "get the previous key-value pair before the event happens"},
      {.name = "progress-notify",
       .type = kBool,
       .default_value = "false",
       .usage = "get periodic watch progress notification from server"},
  };
}

absl::StatusOr<WatchPlan> plan_watch(const FlagSet& flags, const WatchEnvironment& environment) {
  const auto& args = flags.arguments();
  if (flags.before_dash() == args.size()) {
    return bad_arguments("bad number of arguments (found separator --, but no commands)");
  }
  auto keys = watched_keys(flags, environment);
  if (!keys.ok()) return keys.status();
  WatchPlan plan;
  if (flags.before_dash().has_value()) {
    plan.command.assign(args.begin() + static_cast<ptrdiff_t>(*flags.before_dash()), args.end());
  }
  bool prefix = flags.boolean("prefix");
  const std::string& key = keys->front();
  plan.request.set_key(key);
  if (keys->size() == 2) {
    if (prefix) return bad_arguments("`range_end` and `--prefix` are mutually exclusive");
    plan.request.set_range_end((*keys)[1]);
  }
  if (prefix) {
    plan.request.set_key(key.empty() ? zero_byte() : key);
    plan.request.set_range_end(prefix_end(key));
  }
  plan.request.set_start_revision(flags.integer("rev"));
  plan.request.set_prev_kv(flags.boolean("prev-kv"));
  plan.request.set_progress_notify(flags.boolean("progress-notify"));
  return plan;
}

}  // namespace keelson::ctl
