#include "ctl/options.h"

#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <istream>
#include <ostream>

#include "base/text.h"
#include "outbound/srv.h"

namespace keelson::ctl {
namespace {

constexpr std::string_view kPrefix = "ETCDCTL_";

Flag make(std::string name, FlagType type, std::string value, std::string usage, char letter = 0) {
  return {.name = std::move(name),
          .shorthand = letter,
          .type = type,
          .default_value = std::move(value),
          .usage = std::move(usage)};
}

std::string variable_of(std::string_view flag) {
  std::string out(kPrefix);
  for (char c : flag) out += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return out;
}

// One line in the shape of etcdctl's logger.
void log_line(std::ostream& err, std::string_view level, std::string_view message,
              std::string_view variable) {
  std::array<char, 64> stamp{};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  err << "{\"level\":\"" << level << "\",\"ts\":\"" << stamp.data() << "\",\"msg\":\"" << message
      << "\",\"environment-variable\":" << go_quote(variable) << "}\n";
}

// Sets unset flags from the environment, warns of unknown variables, refuses doubled ones.
absl::Status apply_environment(Invocation& in) {
  std::vector<std::string> used = {"ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"};
  std::vector<std::string> doubled;
  for (const std::string& name : in.global_names) {
    std::string variable = variable_of(name);
    if (in.flags.changed(name)) {
      doubled.push_back(variable);
      continue;
    }
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    used.push_back(variable);
    // A value of the wrong type is passed over in silence: so does etcdctl.
    (void)in.flags.set(name, value);
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    std::string key(text.substr(0, text.find('=')));
    if (std::find(used.begin(), used.end(), key) != used.end()) continue;
    if (std::find(doubled.begin(), doubled.end(), key) != doubled.end()) {
      log_line(in.console.err, "fatal",
               "conflicting environment variable is shadowed by corresponding command-line flag "
               "(either unset environment variable or disable flag))",
               key);
      return already_reported(1);
    }
    if (text.substr(0, kPrefix.size()) == kPrefix) {
      log_line(in.console.err, "warn", "unrecognized environment variable", text);
    }
  }
  return absl::OkStatus();
}

void list_flags(Invocation& in) {
  std::vector<std::string> names = in.global_names;
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const Flag& flag = *in.flags.find(name);
    bool list = flag.type == FlagType::kStrings;
    in.console.err << variable_of(name) << "=" << (list ? "[" : "") << flag.value
                   << (list ? "]" : "") << "\n";
  }
}

absl::Status read_tls(const FlagSet& flags, TlsFiles& tls) {
  tls.cert = flags.text("cert");
  tls.key = flags.text("key");
  tls.cacert = flags.text("cacert");
  tls.skip_verify = flags.boolean("insecure-skip-tls-verify");
  for (std::string_view name : {"cert", "key", "cacert"}) {
    if (flags.text(name).empty() && flags.changed(name)) {
      return failure(ExitCode::kBadArgs, cat("empty string is passed to --", name, " option"));
    }
  }
  if (!flags.boolean("insecure-discovery")) tls.server_name = flags.text("discovery-srv");
  return absl::OkStatus();
}

// What the domain's records name, if there is a domain; and --endpoints if they name none that may
// be used.
absl::StatusOr<std::vector<std::string>> find_endpoints(Invocation& in) {
  const FlagSet& flags = in.flags;
  std::vector<std::string> endpoints;
  if (const std::string& domain = flags.text("discovery-srv"); !domain.empty()) {
    absl::StatusOr<std::vector<std::string>> urls =
        outbound::client_urls(domain, flags.text("discovery-srv-name"));
    if (!urls.ok()) return failure(ExitCode::kError, message_of(urls.status()));
    for (std::string& url : *urls) {
      if (!flags.boolean("insecure-discovery") && url.starts_with("http://")) {
        in.console.err << "ignoring discovered insecure endpoint " << go_quote(url) << "\n";
        continue;
      }
      endpoints.push_back(std::move(url));
    }
  }
  if (!endpoints.empty()) return endpoints;
  for (const std::string& endpoint : flags.strings("endpoints")) {
    endpoints.emplace_back(trim_space(endpoint));
  }
  return endpoints;
}

absl::StatusOr<std::optional<Credentials>> read_credentials(Invocation& in) {
  const std::string& user = in.flags.text("user");
  const std::string& password = in.flags.text("password");
  const std::string& token = in.flags.text("auth-jwt-token");
  if (!token.empty()) return Credentials{.user = "", .password = "", .token = token};
  return credentials_of(in.console, user, password, "Password: ");
}

}  // namespace

std::vector<Flag> global_flags() {
  using enum FlagType;
  return {
      make("endpoints", kStrings, "127.0.0.1:2379", "gRPC endpoints"),
      make("debug", kBool, "false", "enable client-side debug logging"),
      make("write-out", kString, "simple",
           "set the output format (fields, json, protobuf, simple, table)", 'w'),
      make("hex", kBool, "false", "print byte strings as hex encoded strings"),
      make("dial-timeout", kDuration, "2s", "dial timeout for client connections"),
      make("command-timeout", kDuration, "5s",
           "timeout for short running command (excluding dial timeout)"),
      make("keepalive-time", kDuration, "2s", "keepalive time for client connections"),
      make("keepalive-timeout", kDuration, "6s", "keepalive timeout for client connections"),
      make("max-request-bytes", kInt, "0",
           "client-side request send limit in bytes (if 0, it defaults to 2.0 MiB (2 * 1024 * "
           "1024).)"),
      make("max-recv-bytes", kInt, "0",
           "client-side response receive limit in bytes (if 0, it defaults to "
           "\"math.MaxInt32\")"),
      make("insecure-transport", kBool, "true",
           "disable transport security for client connections"),
      make("insecure-discovery", kBool, "true",
           "accept insecure SRV records describing cluster endpoints"),
      make("insecure-skip-tls-verify", kBool, "false",
           "skip server certificate verification (CAUTION: this option should be enabled only "
           "for testing purposes)"),
      make("cert", kString, "", "identify secure client using this TLS certificate file"),
      make("key", kString, "", "identify secure client using this TLS key file"),
      make("cacert", kString, "",
           "verify certificates of TLS-enabled secure servers using this CA bundle"),
      make("auth-jwt-token", kString, "",
           "JWT token used for authentication (if this option is used, --user and --password "
           "should not be set)"),
      make("user", kString, "",
           "username[:password] for authentication (prompt if password is not supplied)"),
      make("password", kString, "",
           "password for authentication (if this option is used, --user option shouldn't include "
           "password)"),
      make("discovery-srv", kString, "",
           "domain name to query for SRV records describing cluster endpoints", 'd'),
      make("discovery-srv-name", kString, "", "service name to query when using DNS discovery"),
  };
}

absl::StatusOr<std::optional<Credentials>> credentials_of(Console& console, const std::string& user,
                                                          const std::string& password,
                                                          std::string_view prompt) {
  if (user.empty()) return std::nullopt;
  if (!password.empty()) return Credentials{.user = user, .password = password, .token = ""};
  size_t colon = user.find(':');
  if (colon != std::string::npos) {
    return Credentials{
        .user = user.substr(0, colon), .password = user.substr(colon + 1), .token = ""};
  }
  auto typed = ask_password(console, prompt);
  if (!typed.ok()) return typed.status();
  return Credentials{.user = user, .password = *typed, .token = ""};
}

absl::StatusOr<Options> read_options(Invocation& in) {
  if (absl::Status status = apply_environment(in); !status.ok()) return status;
  const FlagSet& flags = in.flags;
  if (flags.boolean("debug")) list_flags(in);
  Options options;
  absl::StatusOr<std::vector<std::string>> endpoints = find_endpoints(in);
  if (!endpoints.ok()) return endpoints.status();
  options.endpoints = *std::move(endpoints);
  options.write_out = flags.text("write-out");
  options.hex = flags.boolean("hex");
  options.dial_timeout = flags.duration("dial-timeout");
  options.command_timeout = flags.duration("command-timeout");
  options.keepalive_time = flags.duration("keepalive-time");
  options.keepalive_timeout = flags.duration("keepalive-timeout");
  options.max_request_bytes = flags.integer("max-request-bytes");
  options.max_receive_bytes = flags.integer("max-recv-bytes");
  options.insecure_transport = flags.boolean("insecure-transport");
  if (absl::Status status = read_tls(flags, options.tls); !status.ok()) return status;
  auto credentials = read_credentials(in);
  if (!credentials.ok()) return credentials.status();
  options.credentials = *std::move(credentials);
  options.warn = [&err = in.console.err](std::string_view line) { err << line << "\n"; };
  return options;
}

absl::StatusOr<std::string> ask_password(Console& console, std::string_view prompt) {
  console.out << prompt << std::flush;
  termios before{};
  bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  std::string line;
  std::getline(console.in, line);
  if (terminal) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    console.out << "\n";
  }
  if (console.in.bad()) return failure(ExitCode::kError, "the password cannot be read");
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace keelson::ctl
