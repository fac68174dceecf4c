#include "server/flag_table.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "base/time_text.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

template <typename T>
absl::Status assign(T& field, absl::StatusOr<T> parsed) {
  if (!parsed.ok()) return parsed.status();
  field = *std::move(parsed);
  return absl::OkStatus();
}

// AllAlpha and AllBeta stand for every gate of their stage that is not named itself.
absl::Status set_gates(std::map<std::string, FeatureGate>& gates,
                       const std::map<std::string, bool>& wanted) {
  for (const auto& [name, on] : wanted) {
    if (name == "AllAlpha" || name == "AllBeta") continue;
    auto gate = gates.find(name);
    if (gate == gates.end()) {
      return absl::InvalidArgumentError(cat("unrecognized feature gate: ", name));
    }
    gate->second.enabled = on;
  }
  for (auto [group, stage] : {std::pair("AllAlpha", "ALPHA"), std::pair("AllBeta", "BETA")}) {
    auto all = wanted.find(group);
    if (all == wanted.end()) continue;
    for (auto& [name, gate] : gates) {
      if (gate.stage == stage && !wanted.contains(name)) gate.enabled = all->second;
    }
  }
  return absl::OkStatus();
}

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(" \t"));
  text.erase(text.find_last_not_of(" \t") + 1);
  return text;
}

}  // namespace

absl::Status set_field(bool& field, std::string_view text) {
  return assign(field, parse_bool(text));
}
absl::Status set_field(int64_t& field, std::string_view text) {
  return assign(field, parse_int(text));
}
absl::Status set_field(uint64_t& field, std::string_view text) {
  return assign(field, parse_uint(text));
}
absl::Status set_field(uint32_t& field, std::string_view text) {
  absl::StatusOr<uint64_t> parsed = parse_uint(text);
  const bool too_large =
      parsed.ok() ? *parsed > UINT32_MAX : message_of(parsed.status()) == "value out of range";
  if (!parsed.ok() || too_large) {
    return absl::InvalidArgumentError(cat("strconv.ParseUint: parsing ", quoted(text), ": ",
                                          too_large ? "value out of range" : "invalid syntax"));
  }
  field = static_cast<uint32_t>(*parsed);
  return absl::OkStatus();
}
absl::Status set_field(Duration& field, std::string_view text) {
  return assign(field, parse_duration(text));
}
absl::Status set_field(std::string& field, std::string_view text) {
  field = text;
  return absl::OkStatus();
}
absl::Status set_field(std::vector<Url>& field, std::string_view text) {
  if (text.empty()) return absl::OkStatus();  // etcd takes the empty text and changes nothing
  return assign(field, parse_urls(text));
}
absl::Status set_field(std::vector<std::string>& field, std::string_view text) {
  field = comma_parts(text);
  return absl::OkStatus();
}
absl::Status set_field(std::map<std::string, FeatureGate>& field, std::string_view text) {
  std::map<std::string, bool> wanted;
  for (const std::string& part : comma_parts(text)) {
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    const std::string name = trimmed(part.substr(0, equals));
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(cat("missing bool value for ", name));
    }
    const std::string value = trimmed(part.substr(equals + 1));
    absl::StatusOr<bool> on = parse_bool(value);
    if (!on.ok()) {
      return absl::InvalidArgumentError(cat("invalid value of ", name, "=", value,
                                            ", err: strconv.ParseBool: parsing ", quoted(value),
                                            ": invalid syntax"));
    }
    wanted[name] = *on;
  }
  return set_gates(field, wanted);
}

std::string field_text(bool field) { return field ? "true" : "false"; }
std::string field_text(int64_t field) { return cat(field); }
std::string field_text(uint64_t field) { return cat(field); }
std::string field_text(uint32_t field) { return cat(field); }
std::string field_text(Duration field) { return duration_text(field); }
std::string field_text(const std::string& field) { return field; }
std::string field_text(const std::vector<Url>& field) { return urls_text(field); }
std::string field_text(const std::vector<std::string>& field) {
  std::string text;
  for (const std::string& part : field) text += (text.empty() ? "" : ",") + part;
  return text;
}
std::string field_text(const std::map<std::string, FeatureGate>& field) {
  std::string text;
  for (const auto& [name, gate] : field) {
    text += cat(text.empty() ? "" : ",", name, "=", field_text(gate.enabled));
  }
  return text;
}

absl::Status set_one_of(std::string& field, std::string_view text,
                        std::initializer_list<std::string_view> words) {
  if (std::find(words.begin(), words.end(), text) == words.end()) {
    return absl::InvalidArgumentError("invalid value");
  }
  field = text;
  return absl::OkStatus();
}

const std::map<std::string_view, const FlagSpec*>& all_flags() {
  static const auto flags = [] {
    std::map<std::string_view, const FlagSpec*> all;
    for (std::span<const FlagSpec> rows :
         {member_flags(), cluster_flags(), security_flags(), other_flags()}) {
      for (const FlagSpec& row : rows) {
        const bool is_new = all.emplace(row.name, &row).second;
        CHECK(is_new);
      }
    }
    return all;
  }();
  return flags;
}

const FlagSpec* find_flag(std::string_view name) {
  auto flag = all_flags().find(name);
  return flag == all_flags().end() ? nullptr : flag->second;
}

std::span<const std::string_view> ignored_flags() {
  static constexpr std::array<std::string_view, 15> kNames = {"cluster-active-size",
                                                              "cluster-remove-delay",
                                                              "cluster-sync-interval",
                                                              "config",
                                                              "force",
                                                              "max-result-buffer",
                                                              "max-retry-attempts",
                                                              "peer-heartbeat-interval",
                                                              "peer-election-timeout",
                                                              "retry-interval",
                                                              "snapshot",
                                                              "v",
                                                              "vv",
                                                              "test.coverprofile",
                                                              "test.outputdir"};
  return kNames;
}

std::string environment_name(std::string_view flag) {
  std::string name = flag.starts_with("keelson-") ? "" : "ETCD_";
  for (char c : flag) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

}  // namespace keelson::server
