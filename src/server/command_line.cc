#include <algorithm>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "base/text.h"
#include "server/config.h"
#include "server/flag_table.h"
#include "server/go_values.h"
#include "server/help.h"

namespace keelson::server {
namespace {

constexpr int kBadUsage = 2;   // etcd's exit code when the flags cannot be read
constexpr int kBadConfig = 1;  // and when what they say does not hold

struct Scan {
  std::string config_file;
  bool version = false, help = false;
  std::vector<std::string> rest;     // from the first argument that is no flag
  std::vector<std::string> ignored;  // names of old that were given
  std::set<std::string, std::less<>> on_command_line;
};

std::string flag_error(bool is_bool, std::string_view name, std::string_view value,
                       std::string_view why) {
  return is_bool ? cat("invalid boolean value ", quoted(value), " for -", name, ": ", why)
                 : cat("invalid value ", quoted(value), " for flag -", name, ": ", why);
}

// One argument "-name", "--name", "-name=value" taken apart.
struct Argument {
  std::string name;
  std::optional<std::string> value;
};

absl::StatusOr<Argument> split_argument(std::string_view text) {
  std::string_view body = text.substr(text.starts_with("--") ? 2 : 1);
  if (body.empty() || body[0] == '-' || body[0] == '=') {
    return absl::InvalidArgumentError(cat("bad flag syntax: ", text));
  }
  const size_t equals = body.find('=');
  Argument argument{std::string(body.substr(0, equals)), std::nullopt};
  if (equals != std::string_view::npos) argument.value = std::string(body.substr(equals + 1));
  return argument;
}

bool is_ignored(std::string_view name) {
  return std::find(ignored_flags().begin(), ignored_flags().end(), name) != ignored_flags().end();
}

// Reads argument after argument by the rules of Go's flag package.
class Scanner {
 public:
  Scanner(const std::vector<std::string>& args, Config& config) : args_(args), config_(config) {}

  absl::StatusOr<Scan> run() {
    while (next_ < args_.size() && !scan_.help) {
      const std::string& text = args_[next_];
      if (text.size() < 2 || text[0] != '-') break;
      ++next_;
      if (text == "--") break;
      absl::StatusOr<Argument> argument = split_argument(text);
      if (!argument.ok()) return argument.status();
      if (absl::Status s = take(*argument); !s.ok()) return s;
    }
    scan_.rest.assign(args_.begin() + static_cast<ptrdiff_t>(next_), args_.end());
    return std::move(scan_);
  }

 private:
  absl::Status take(const Argument& argument) {
    const std::string& name = argument.name;
    if (name == "version") return take_version(argument);
    if (name == "config-file") return take_value(argument, scan_.config_file);
    if (is_ignored(name)) return scan_.ignored.push_back(name), absl::OkStatus();
    const FlagSpec* flag = find_flag(name);
    if (flag == nullptr || flag->effect == FlagEffect::kRefused) return unknown(name);

    std::string value = "true";
    if (argument.value || !flag->is_bool) {
      if (absl::Status s = take_value(argument, value); !s.ok()) return s;
    }
    if (absl::Status s = flag->set(config_, value); !s.ok()) {
      return absl::InvalidArgumentError(flag_error(flag->is_bool, name, value, message_of(s)));
    }
    scan_.on_command_line.insert(name);
    return absl::OkStatus();
  }

  absl::Status unknown(std::string_view name) {
    if (name == "h" || name == "help") return scan_.help = true, absl::OkStatus();
    return absl::InvalidArgumentError(cat("flag provided but not defined: -", name));
  }

  absl::Status take_version(const Argument& argument) {
    const std::string value = argument.value.value_or("true");
    absl::StatusOr<bool> on = parse_bool(value);
    if (!on.ok()) {
      return absl::InvalidArgumentError(flag_error(true, "version", value, "parse error"));
    }
    scan_.version = *on;
    return absl::OkStatus();
  }

  absl::Status take_value(const Argument& argument, std::string& out) {
    if (argument.value) return out = *argument.value, absl::OkStatus();
    if (next_ == args_.size()) {
      return absl::InvalidArgumentError(cat("flag needs an argument: -", argument.name));
    }
    out = args_[next_++];
    return absl::OkStatus();
  }

  const std::vector<std::string>& args_;
  Config& config_;
  size_t next_ = 0;
  Scan scan_;
};

using Variables = std::unordered_map<std::string, std::string>;

Variables variables_of(const Environment& environment) {
  Variables variables;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  return variables;
}

// Sets every flag that the command line did not, from the environment. Takes what it used out.
absl::Status apply_environment(Variables& variables, CommandLine& line, const Scan& scan) {
  for (const auto& [name, flag] : all_flags()) {
    if (flag->effect == FlagEffect::kRefused) continue;  // nor has it a variable
    auto variable = variables.find(environment_name(name));
    if (variable == variables.end()) continue;
    const auto [key, value] = *variable;
    variables.erase(variable);
    if (value.empty()) continue;
    if (scan.on_command_line.contains(name)) {
      line.notes.push_back({log::Level::kWarn,
                            "environment variable is shadowed by corresponding command-line flag",
                            {{"environment-variable", key}}});
      continue;
    }
    if (absl::Status s = flag->set(line.config, value); !s.ok()) {
      return absl::InvalidArgumentError(
          cat("invalid value ", quoted(value), " for ", key, ": ", message_of(s)));
    }
    line.config.explicitly_set.emplace(name);
    line.notes.push_back({log::Level::kInfo,
                          "recognized and used environment variable",
                          {{"variable-name", key}, {"variable-value", value}}});
  }
  return absl::OkStatus();
}

void note_special_variables(Variables& variables, CommandLine& line) {
  if (auto version = variables.find("ETCD_VERSION"); version != variables.end()) {
    line.notes.push_back({log::Level::kWarn,
                          "cannot set special environment variable",
                          {{"key", version->first}, {"value", version->second}}});
    variables.erase(version);
  }
  for (std::string_view name : ignored_flags()) variables.erase(environment_name(name));
  variables.erase("ETCD_CONFIG_FILE");
}

void note_unknown_variables(const Variables& variables, CommandLine& line) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : variables) {
    if (name.starts_with("ETCD_") || name.starts_with("KEELSON_")) {
      unknown.push_back(cat(name, "=", value));
    }
  }
  std::sort(unknown.begin(), unknown.end());
  for (const std::string& entry : unknown) {
    line.notes.push_back({log::Level::kWarn,
                          "unrecognized environment variable",
                          {{"environment-variable", entry}}});
  }
}

// What etcd adjusts once flags and environment are in.
void adjust(Config& config) {
  config.raft_read_timeout = std::max<Duration>(config.raft_read_timeout, seconds(5));
  config.raft_write_timeout = std::max<Duration>(config.raft_write_timeout, seconds(5));
  if (config.is_set("listen-client-urls") && !config.is_set("advertise-client-urls")) {
    config.advertise_client_urls.clear();  // validate() then asks for them
  }
  const bool discovers = !config.discovery.dns_srv.empty() ||
                         !config.discovery.dns_srv_name.empty() ||
                         !config.discovery.endpoints.empty();
  if (discovers && !config.is_set("initial-cluster")) config.initial_cluster.clear();
}

absl::StatusOr<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file) return absl::InvalidArgumentError(cat("open ", path, ": cannot be read"));
  text << file.rdbuf();
  if (file.bad()) return absl::InvalidArgumentError(cat("read ", path, ": cannot be read"));
  return text.str();
}

absl::Status load_file(const std::string& path, CommandLine& line) {
  absl::StatusOr<std::string> text = read_file(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<Config> config = parse_config_file(*text, line.notes);
  if (!config.ok()) return config.status();
  line.config = *std::move(config);
  line.notes.push_back({log::Level::kInfo,
                        "loaded server configuration, other configuration command line flags and "
                        "environment variables will be ignored if provided",
                        {{"path", path}}});
  return absl::OkStatus();
}

absl::Status load_flags(Variables variables, const Scan& scan, CommandLine& line) {
  line.config.explicitly_set = scan.on_command_line;
  note_special_variables(variables, line);
  if (absl::Status s = apply_environment(variables, line, scan); !s.ok()) return s;
  note_unknown_variables(variables, line);
  for (const std::string& name : scan.ignored) {
    line.notes.push_back(
        {log::Level::kWarn, "flag is no longer supported - ignoring", {{"flag-name", name}}});
  }
  adjust(line.config);
  if (line.config.discovery.fallback == "proxy") {
    return absl::InvalidArgumentError(
        "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"");
  }
  return line.config.validate();
}

// etcd's warning where a deprecated flag is set; "" for any other.
std::string_view deprecation_text(std::string_view flag) {
  if (flag == "max-snapshots") {
    return "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.";
  }
  if (flag != "v2-deprecation") return "";
  return "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is "
         "enforced, ignoring user input.";
}

void note_effects(CommandLine& line) {
  for (const std::string& name : line.config.explicitly_set) {
    const FlagSpec* flag = find_flag(name);
    if (flag == nullptr) continue;
    if (const std::string_view text = deprecation_text(name); !text.empty()) {
      line.notes.push_back({log::Level::kWarn, std::string(text), {}});
    } else if (flag->effect != FlagEffect::kYes) {
      line.notes.push_back(
          {log::Level::kWarn, "flag has no meaning in Keelson - ignoring", {{"flag-name", name}}});
    }
  }
}

// etcd's initial cluster follows the name when only the name was given.
void name_initial_cluster(Config& config) {
  const Config defaults;
  if (config.name == defaults.name || config.initial_cluster != defaults.initial_cluster) return;
  std::string members;
  for (const Url& url : config.initial_advertise_peer_urls) {
    members += cat(members.empty() ? "" : ",", config.name.empty() ? defaults.name : config.name,
                   "=", url.str());
  }
  config.initial_cluster = members;
}

}  // namespace

Environment environment_of(char** environ) {
  Environment environment;
  for (; environ != nullptr && *environ != nullptr; ++environ) environment.emplace_back(*environ);
  return environment;
}

CommandLine parse_command_line(const std::vector<std::string>& args,
                               const Environment& environment) {
  CommandLine line;
  absl::StatusOr<Scan> scan = Scanner(args, line.config).run();
  if (!scan.ok()) {
    line.exit = {kBadUsage, "", cat(message_of(scan.status()), "\n", usage_text())};
    return line;
  }
  if (scan->help) {
    line.exit = {0, help_text(), ""};
    return line;
  }
  const auto fail = [&line](const absl::Status& why) {
    line.exit = {kBadConfig, "", cat("failed to verify flags: ", message_of(why), "\n")};
  };
  if (!scan->rest.empty()) {
    fail(absl::InvalidArgumentError(cat(quoted(scan->rest[0]), " is not a valid flag")));
    return line;
  }
  if (scan->version) {
    line.exit = {0, version_text(), ""};
    return line;
  }
  Variables variables = variables_of(environment);
  if (scan->config_file.empty()) scan->config_file = variables["ETCD_CONFIG_FILE"];
  const absl::Status loaded = scan->config_file.empty()
                                  ? load_flags(std::move(variables), *scan, line)
                                  : load_file(scan->config_file, line);
  if (!loaded.ok()) {
    fail(loaded);
    return line;
  }
  note_effects(line);
  name_initial_cluster(line.config);
  return line;
}

void log_notes(const std::vector<PendingLog>& notes) {
  for (const PendingLog& note : notes) {
    switch (note.fields.size()) {
      case 0:
        log::write(note.level, note.message, {});
        break;
      case 1:
        log::write(note.level, note.message,
                   {{note.fields[0].first, std::string_view(note.fields[0].second)}});
        break;
      default:
        log::write(note.level, note.message,
                   {{note.fields[0].first, std::string_view(note.fields[0].second)},
                    {note.fields[1].first, std::string_view(note.fields[1].second)}});
    }
  }
}

}  // namespace keelson::server
