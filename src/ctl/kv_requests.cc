#include "ctl/kv_requests.h"

#include <cctype>
#include <istream>
#include <iterator>

#include "base/text.h"
#include "ctl/keys.h"
#include "ctl/outcome.h"

namespace keelson::ctl {
namespace {

using enum FlagType;

Flag boolean(std::string name, std::string usage) {
  return {
      .name = std::move(name), .type = kBool, .default_value = "false", .usage = std::move(usage)};
}
Flag integer(std::string name, std::string usage) {
  return {.name = std::move(name), .type = kInt64, .default_value = "0", .usage = std::move(usage)};
}
Flag text(std::string name, std::string value, std::string usage) {
  return {.name = std::move(name),
          .type = kString,
          .default_value = std::move(value),
          .usage = std::move(usage)};
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// --prefix, --from-key and a second argument: which keys are meant. Request is Range or Delete.
template <typename Request>
absl::Status set_keys(const FlagSet& flags, Request& request) {
  const auto& args = flags.arguments();
  bool prefix = flags.boolean("prefix");
  bool from_key = flags.boolean("from-key");
  if (args.size() > 1) {
    if (prefix || from_key) {
      return failure(ExitCode::kBadArgs,
                     "too many arguments, only accept one argument when `--prefix` or "
                     "`--from-key` is set");
    }
    request.set_range_end(args[1]);
  }
  request.set_key(args[0]);
  if (!prefix && !from_key) return absl::OkStatus();
  if (args[0].empty()) request.set_key(zero_byte());
  request.set_range_end(prefix && !args[0].empty() ? prefix_end(args[0]) : zero_byte());
  return absl::OkStatus();
}

absl::Status prefix_or_from_key(const FlagSet& flags) {
  if (!flags.boolean("prefix") || !flags.boolean("from-key")) return absl::OkStatus();
  return failure(ExitCode::kBadArgs,
                 "`--prefix` and `--from-key` cannot be set at the same time, choose one");
}

absl::Status set_order(const FlagSet& flags, pb::RangeRequest& request) {
  std::string order = upper(flags.text("order"));
  std::string target = upper(flags.text("sort-by"));
  if (order == "ASCEND") {
    request.set_sort_order(pb::RangeRequest::ASCEND);
  } else if (order == "DESCEND") {
    request.set_sort_order(pb::RangeRequest::DESCEND);
  } else if (!order.empty()) {
    return failure(ExitCode::kBadFeature, cat("bad sort order ", flags.text("order")));
  }
  if (target == "CREATE") {
    request.set_sort_target(pb::RangeRequest::CREATE);
  } else if (target == "MODIFY") {
    request.set_sort_target(pb::RangeRequest::MOD);
  } else if (target == "VALUE") {
    request.set_sort_target(pb::RangeRequest::VALUE);
  } else if (target == "VERSION") {
    request.set_sort_target(pb::RangeRequest::VERSION);
  } else if (!target.empty() && target != "KEY") {
    return failure(ExitCode::kBadFeature, cat("bad sort target ", flags.text("sort-by")));
  }
  // Ascending by key is what the server does unasked; asking makes it fetch the whole range first.
  bool by_key = request.sort_target() == pb::RangeRequest::KEY;
  if (by_key && request.sort_order() == pb::RangeRequest::ASCEND) request.clear_sort_order();
  return absl::OkStatus();
}

absl::Status ordered_limits(std::string_view what, int64_t least, int64_t most) {
  if (most <= 0 || least <= most) return absl::OkStatus();
  return failure(ExitCode::kBadFeature,
                 cat("getMin", what, "(=", least, ") > getMax", what, "(=", most, ")"));
}

absl::Status set_revision_limits(const FlagSet& flags, pb::RangeRequest& request) {
  auto positive = [&](std::string_view name) { return std::max<int64_t>(0, flags.integer(name)); };
  request.set_min_create_revision(positive("min-create-rev"));
  request.set_max_create_revision(positive("max-create-rev"));
  request.set_min_mod_revision(positive("min-mod-rev"));
  request.set_max_mod_revision(positive("max-mod-rev"));
  absl::Status create =
      ordered_limits("CreateRev", flags.integer("min-create-rev"), flags.integer("max-create-rev"));
  if (!create.ok()) return create;
  return ordered_limits("ModRev", flags.integer("min-mod-rev"), flags.integer("max-mod-rev"));
}

}  // namespace

std::vector<Flag> get_flags() {
  return {
      text("consistency", "l", "Linearizable(l) or Serializable(s)"),
      text("order", "", "Order of results; ASCEND or DESCEND (ASCEND by default)"),
      text("sort-by", "", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION"),
      integer("limit", "Maximum number of results"),
      boolean("prefix", "Get keys with matching prefix"),
      boolean("from-key",
              "Get keys that are greater than or equal to the given key using byte compare"),
      integer("rev", "Specify the kv revision"),
      boolean("keys-only", "Get only the keys"),
      boolean("count-only", "Get only the count"),
      boolean("print-value-only", "Only write values when using the \"simple\" output format"),
      integer("min-create-rev", "Minimum create revision"),
      integer("max-create-rev", "Maximum create revision"),
      integer("min-mod-rev", "Minimum modification revision"),
      integer("max-mod-rev", "Maximum modification revision"),
      boolean("stream", "Use the RangeStream RPC"),
  };
}

std::vector<Flag> put_flags() {
  return {
      text("lease", "0", "lease ID (in hexadecimal) to attach to the key"),
      boolean("prev-kv", "return the previous key-value pair before modification"),
      boolean("ignore-value", "updates the key using its current value"),
      boolean("ignore-lease", "updates the key using its current lease"),
  };
}

std::vector<Flag> del_flags() {
  return {
      boolean("prefix", "delete keys with matching prefix"),
      boolean("prev-kv", "return deleted key-value pairs"),
      boolean("from-key",
              "delete keys that are greater than or equal to the given key using byte compare"),
      boolean("range", "delete range of keys"),
  };
}

absl::StatusOr<bool> is_serializable(const std::string& consistency) {
  if (consistency == "s") return true;
  if (consistency == "l") return false;
  return failure(ExitCode::kBadFeature, cat("unknown consistency flag ", go_quote(consistency)));
}

absl::StatusOr<pb::RangeRequest> range_request(const FlagSet& flags) {
  if (flags.arguments().empty()) {
    return failure(ExitCode::kBadArgs,
                   "get command needs one argument as key and an optional argument as range_end");
  }
  if (absl::Status status = prefix_or_from_key(flags); !status.ok()) return status;
  if (flags.boolean("keys-only") && flags.boolean("count-only")) {
    return failure(ExitCode::kBadArgs,
                   "`--keys-only` and `--count-only` cannot be set at the same time, choose one");
  }
  auto serializable = is_serializable(flags.text("consistency"));
  if (!serializable.ok()) return serializable.status();
  pb::RangeRequest request;
  request.set_serializable(*serializable);
  if (absl::Status status = set_keys(flags, request); !status.ok()) return status;
  request.set_limit(flags.integer("limit"));
  if (flags.integer("rev") > 0) request.set_revision(flags.integer("rev"));
  if (absl::Status status = set_order(flags, request); !status.ok()) return status;
  request.set_keys_only(flags.boolean("keys-only"));
  request.set_count_only(flags.boolean("count-only"));
  if (absl::Status status = set_revision_limits(flags, request); !status.ok()) return status;
  return request;
}

absl::StatusOr<pb::PutRequest> put_request(const FlagSet& flags, std::istream* in) {
  constexpr std::string_view kNeeds =
      "put command needs 1 argument and input from stdin or 2 arguments";
  const auto& args = flags.arguments();
  if (args.empty()) return failure(ExitCode::kBadArgs, kNeeds);
  bool ignore_value = flags.boolean("ignore-value");
  if (ignore_value && args.size() > 1) {
    return failure(ExitCode::kBadArgs,
                   "put command needs only 1 argument when 'ignore-value' is set");
  }
  pb::PutRequest request;
  request.set_key(args[0]);
  if (args.size() > 1) {
    request.set_value(args[1]);
  } else if (!ignore_value) {
    std::string value;
    if (in != nullptr) value.assign(std::istreambuf_iterator<char>(*in), {});
    if (value.empty()) return failure(ExitCode::kBadArgs, kNeeds);
    request.set_value(std::move(value));
  }
  auto lease = parse_int(flags.text("lease"), 16);
  if (!lease.ok()) {
    return failure(ExitCode::kBadArgs,
                   cat("bad lease ID (", message_of(lease.status()), "), expecting ID in Hex"));
  }
  request.set_lease(*lease);
  request.set_prev_kv(flags.boolean("prev-kv"));
  request.set_ignore_value(ignore_value);
  request.set_ignore_lease(flags.boolean("ignore-lease"));
  return request;
}

absl::StatusOr<pb::DeleteRangeRequest> delete_request(const FlagSet& flags, std::string* warning) {
  const auto& args = flags.arguments();
  if (args.empty() || args.size() > 2) {
    return failure(ExitCode::kBadArgs,
                   "del command needs one argument as key and an optional argument as range_end");
  }
  if (absl::Status status = prefix_or_from_key(flags); !status.ok()) return status;
  pb::DeleteRangeRequest request;
  if (absl::Status status = set_keys(flags, request); !status.ok()) return status;
  request.set_prev_kv(flags.boolean("prev-kv"));
  if (args.size() == 2 && !flags.boolean("range")) {
    *warning = cat("Warning: Keys between ", go_quote(args[0]), " and ", go_quote(args[1]),
                   " will be deleted. Please interrupt the command within next 2 seconds to "
                   "cancel. You can provide `--range` flag to avoid the delay.\n");
  }
  return request;
}

}  // namespace keelson::ctl
