// The YAML config file: etcd's keys (server/embed/config.go, json tags), which are mostly the
// flags' names. Durations are whole nanoseconds, as in etcd; TLS, discovery and socket options
// stand in sections of their own.

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "base/text.h"
#include "server/config.h"
#include "server/flag_table.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

struct SectionKey {
  std::string_view path;  // "section.key" or "section.part.key"
  std::string_view flag;
  FileKind kind;
};

// What stands in sections, and the flag that means the same.
constexpr SectionKey kSectionKeys[] = {
    {"client-transport-security.cert-file", "cert-file", FileKind::kString},
    {"client-transport-security.key-file", "key-file", FileKind::kString},
    {"client-transport-security.client-cert-file", "client-cert-file", FileKind::kString},
    {"client-transport-security.client-key-file", "client-key-file", FileKind::kString},
    {"client-transport-security.client-cert-auth", "client-cert-auth", FileKind::kBool},
    {"client-transport-security.trusted-ca-file", "trusted-ca-file", FileKind::kString},
    // A key that etcd does not have: there a file cannot name the list.
    {"client-transport-security.crl-file", "client-crl-file", FileKind::kString},
    {"peer-transport-security.crl-file", "peer-crl-file", FileKind::kString},
    {"client-transport-security.auto-tls", "auto-tls", FileKind::kBool},
    {"client-transport-security.allowed-hostname", "client-cert-allowed-hostname", FileKind::kList},
    {"peer-transport-security.cert-file", "peer-cert-file", FileKind::kString},
    {"peer-transport-security.key-file", "peer-key-file", FileKind::kString},
    {"peer-transport-security.client-cert-file", "peer-client-cert-file", FileKind::kString},
    {"peer-transport-security.client-key-file", "peer-client-key-file", FileKind::kString},
    {"peer-transport-security.client-cert-auth", "peer-client-cert-auth", FileKind::kBool},
    {"peer-transport-security.trusted-ca-file", "peer-trusted-ca-file", FileKind::kString},
    {"peer-transport-security.auto-tls", "peer-auto-tls", FileKind::kBool},
    {"peer-transport-security.allowed-cn", "peer-cert-allowed-cn", FileKind::kList},
    {"peer-transport-security.allowed-hostname", "peer-cert-allowed-hostname", FileKind::kList},
    {"peer-transport-security.skip-client-san-verification", "peer-skip-client-san-verification",
     FileKind::kBool},
    {"socket-options.reuse-port", "socket-reuse-port", FileKind::kBool},
    {"socket-options.reuse-address", "socket-reuse-address", FileKind::kBool},
    {"discovery-config.token", "discovery-token", FileKind::kString},
    {"discovery-config.client.endpoints", "discovery-endpoints", FileKind::kList},
    {"discovery-config.client.dial-timeout", "discovery-dial-timeout", FileKind::kNanoseconds},
    {"discovery-config.client.request-timeout", "discovery-request-timeout",
     FileKind::kNanoseconds},
    {"discovery-config.client.keepalive-time", "discovery-keepalive-time", FileKind::kNanoseconds},
    {"discovery-config.client.keepalive-timeout", "discovery-keepalive-timeout",
     FileKind::kNanoseconds},
    {"discovery-config.client.secure.cert", "discovery-cert", FileKind::kString},
    {"discovery-config.client.secure.key", "discovery-key", FileKind::kString},
    {"discovery-config.client.secure.cacert", "discovery-cacert", FileKind::kString},
    {"discovery-config.client.secure.insecure-transport", "discovery-insecure-transport",
     FileKind::kBool},
    {"discovery-config.client.secure.insecure-skip-tls-verify",
     "discovery-insecure-skip-tls-verify", FileKind::kBool},
    {"discovery-config.client.auth.username", "discovery-user", FileKind::kString},
    {"discovery-config.client.auth.password", "discovery-password", FileKind::kString},
};

bool is_section(std::string_view path) {
  for (const SectionKey& key : kSectionKeys) {
    if (key.path.starts_with(path) && key.path.size() > path.size() &&
        key.path[path.size()] == '.') {
      return true;
    }
  }
  return false;
}

absl::Status wrong_kind(std::string_view path, std::string_view wanted) {
  return absl::InvalidArgumentError(cat("config file: ", path, " must be ", wanted));
}

// YAML 1.1's words for it, as etcd's reader has them: each in three cases, and no number.
std::optional<bool> bool_of(std::string_view text) {
  for (std::string_view yes :
       {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"}) {
    if (text == yes) return true;
  }
  for (std::string_view no :
       {"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

// Whole numbers as YAML writes them: with underscores anywhere, in any base, and as floats, which
// is what templates make of large ones ("8.589934592e+09"). As in etcd, whose reader takes the way
// over JSON, a float's digits are those of a double.
std::optional<std::string> whole_number(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
  if (parse_int(text).ok() || parse_uint(text).ok()) return text;
  if (text.find_first_not_of("0123456789+-.eE") != text.npos) return std::nullopt;
  if (text.starts_with('+') && !text.starts_with("+-")) text.erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value != std::floor(value)) return std::nullopt;
  constexpr double kLeast = -9223372036854775808.0, kBeyond = 18446744073709551616.0;
  if (value < kLeast || value >= kBeyond) return std::nullopt;
  return value < 0 ? cat(static_cast<int64_t>(value)) : cat(static_cast<uint64_t>(value));
}

// The value as the text that the flag would have been given.
absl::StatusOr<std::string> text_of(const YAML::Node& node, FileKind kind, std::string_view path) {
  const bool is_quoted = node.Tag() == "!";
  if (kind == FileKind::kList) {
    if (!node.IsSequence()) return wrong_kind(path, "a list");
    std::string text;
    for (const YAML::Node& part : node) {
      if (!part.IsScalar()) return wrong_kind(path, "a list of texts");
      text += (text.empty() ? "" : ",") + part.Scalar();
    }
    return text;
  }
  if (!node.IsScalar()) return wrong_kind(path, "a single value");
  const std::string& scalar = node.Scalar();
  switch (kind) {
    case FileKind::kNumber:
    case FileKind::kNanoseconds: {
      const bool time = kind == FileKind::kNanoseconds;
      std::optional<std::string> number;
      if (!is_quoted) number = whole_number(scalar);
      if (!number) {
        return wrong_kind(
            path, cat("a whole number", time ? " of nanoseconds" : "", ", not ", quoted(scalar)));
      }
      return time && *number != "0" ? *number + "ns" : *number;
    }
    case FileKind::kBool: {
      std::optional<bool> on;
      if (!is_quoted) on = bool_of(scalar);
      if (!on) return wrong_kind(path, cat("true or false, not ", quoted(scalar)));
      return std::string(*on ? "true" : "false");
    }
    default:
      return scalar;
  }
}

class FileReader {
 public:
  FileReader(Config& config, std::vector<PendingLog>& notes) : config_(config), notes_(notes) {}

  // Keys mean the same in any case, as in Go's JSON, over which etcd reads the file. So one may be
  // there twice: the last in the order of bytes counts, as there.
  absl::Status read(const YAML::Node& map, const std::string& prefix) {
    std::multimap<std::string, YAML::Node> entries;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) return wrong_kind(prefix, "a map with text keys");
      entries.emplace(entry.first.Scalar(), entry.second);
    }
    for (const auto& [key, value] : entries) {
      if (absl::Status s = read_entry(prefix + key, value); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

 private:
  // Null is as if the key were not there.
  absl::Status read_entry(const std::string& written, const YAML::Node& value) {
    const std::string path = lower(written);
    if (is_section(path)) {
      if (value.IsNull()) return absl::OkStatus();
      if (!value.IsMap()) return absl::InvalidArgumentError(cat("invalid ", path));
      return read(value, path + ".");
    }
    for (const SectionKey& key : kSectionKeys) {
      if (key.path == path) return set(path, key.flag, key.kind, value);
    }
    const FlagSpec* flag = find_flag(path);
    if (flag != nullptr && flag->file != FileKind::kAbsent) {
      return set(path, path, flag->file, value);
    }
    notes_.push_back(
        {log::Level::kWarn, "unrecognized key in the config file - ignoring", {{"key", written}}});
    return absl::OkStatus();
  }

  absl::Status set(std::string_view path, std::string_view flag_name, FileKind kind,
                   const YAML::Node& value) {
    if (value.IsNull()) return absl::OkStatus();
    absl::StatusOr<std::string> text = text_of(value, kind, path);
    if (!text.ok()) return text.status();
    // In a file the empty text is the zero value; for these etcd then keeps its default. That of
    // v2-deprecation it keeps whatever is there.
    const FlagSpec* flag = find_flag(flag_name);
    const bool keep = flag_name == "v2-deprecation" ||
                      (text->empty() && (flag_name == "initial-cluster-state" ||
                                         flag_name == "cors" || flag_name == "host-whitelist"));
    if (!keep) {
      if (absl::Status s = flag->set(config_, *text); !s.ok()) {
        return absl::InvalidArgumentError(
            cat("config file: invalid value ", quoted(*text), " for ", path, ": ", message_of(s)));
      }
    }
    config_.explicitly_set.emplace(flag_name);
    return absl::OkStatus();
  }

  Config& config_;
  std::vector<PendingLog>& notes_;
};

// Whether `text`, which is `root`, ends where it may. yaml-cpp takes a last line without a colon
// for a key, and a last quote that is not closed for one that is. With one more key behind them it
// sees the first, and the second swallows that key.
bool ends_well(const std::string& text, const YAML::Node& root) {
  if (!root.IsMap() || root.size() == 0) return true;
  if (root.Style() == YAML::EmitterStyle::Flow) return true;  // has a bracket at its end
  const YAML::Mark first = root.begin()->first.Mark();
  // Where another document begins, the library stops.
  const auto from = static_cast<size_t>(first.pos);
  const size_t end = std::min(text.find("\n---", from), text.find("\n...", from));
  const std::string key = "keelson-end-of-file";
  const std::string indent(static_cast<size_t>(first.column), ' ');
  return YAML::Load(cat(text.substr(0, end), "\n", indent, key, ": true\n"))[key].IsDefined();
}

absl::StatusOr<YAML::Node> load(const std::string& text) {
  try {
    YAML::Node root = YAML::Load(text);
    if (!root.IsMap() && !root.IsNull()) {
      return absl::InvalidArgumentError("config file: the top level must be a map");
    }
    if (!ends_well(text, root)) {
      return absl::InvalidArgumentError("config file: a text at its end is not closed");
    }
    return root;
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(cat("config file: ", e.what()));
  }
}

}  // namespace

absl::StatusOr<Config> parse_config_file(std::string_view yaml, std::vector<PendingLog>& notes) {
  absl::StatusOr<YAML::Node> root = load(std::string(yaml));
  if (!root.ok()) return root.status();
  Config config;
  try {
    if (root->IsMap()) {
      if (absl::Status s = FileReader(config, notes).read(*root, ""); !s.ok()) return s;
    }
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(cat("config file: ", e.what()));
  }
  const bool discovers = !config.discovery.dns_srv.empty() || !config.discovery.endpoints.empty();
  if (discovers && config.initial_cluster == Config().initial_cluster) {
    config.initial_cluster.clear();
  }
  if (config.self_signed_cert_validity_years == 0) config.self_signed_cert_validity_years = 1;
  if (absl::Status s = config.validate(); !s.ok()) return s;
  return config;
}

}  // namespace keelson::server
