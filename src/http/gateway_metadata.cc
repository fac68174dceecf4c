#include "http/gateway_metadata.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "base/text.h"

namespace keelson::http {
namespace {

// Fields that the call sees as "grpcgateway-…".
constexpr std::string_view kPassedOn[] = {
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "warning",
    "if-unmodified-since",
};
constexpr std::string_view kPrefix = "grpc-metadata-";

std::string lower(std::string_view text) { return absl::AsciiStrToLower(to_absl(text)); }

// "Grpc-Metadata-Foo", as Go writes names of fields.
std::string canonical(std::string_view name) {
  std::string out = lower(name);
  bool first = true;
  for (char& c : out) {
    if (first) c = absl::ascii_toupper(static_cast<unsigned char>(c));
    first = c == '-';
  }
  return out;
}

// The name in the metadata; none: it is not passed on.
std::optional<std::string> name_in_metadata(const std::string& field) {
  if (std::find(std::begin(kPassedOn), std::end(kPassedOn), field) != std::end(kPassedOn)) {
    return cat("grpcgateway-", field);
  }
  if (!field.starts_with(kPrefix)) return std::nullopt;
  std::string name = field.substr(kPrefix.size());
  const bool valid = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  });
  return valid ? std::optional(std::move(name)) : std::nullopt;
}

bool is_text(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

// Go's decoder, padded when the length says so, and what it says of the first byte that is wrong.
absl::StatusOr<std::string> decode_binary(std::string_view field, std::string_view value) {
  std::string padded(value);
  if (value.size() % 4 != 0 && value.find('=') == value.npos)
    padded.resize((value.size() + 3) / 4 * 4, '=');
  std::string out;
  if (absl::Base64Unescape(padded, &out)) return out;
  const size_t at =
      value.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  return absl::InvalidArgumentError(cat("invalid binary header ", canonical(field),
                                        ": illegal base64 data at input byte ",
                                        at == value.npos ? value.size() : at));
}

std::optional<Duration> unit_of(char c) {
  switch (c) {
    case 'H':
      return std::chrono::hours(1);
    case 'M':
      return std::chrono::minutes(1);
    case 'S':
      return std::chrono::seconds(1);
    case 'm':
      return std::chrono::milliseconds(1);
    case 'u':
      return std::chrono::microseconds(1);
    case 'n':
      return std::chrono::nanoseconds(1);
    default:
      return std::nullopt;
  }
}

// None for nothing said, and for 0, which is no bound.
absl::StatusOr<std::optional<Duration>> timeout_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const std::optional<Duration> unit = unit_of(text.back());
  int64_t count = 0;
  if (text.size() < 2 || !unit ||
      !absl::SimpleAtoi(to_absl(text.substr(0, text.size() - 1)), &count)) {
    return absl::InvalidArgumentError(cat("invalid grpc-timeout: ", text));
  }
  if (count == 0) return std::nullopt;
  if (count < 0) return Duration(0);
  if (count > Duration::max().count() / unit->count()) return Duration::max();
  return *unit * count;
}

std::string host_of(std::string_view address) {
  const size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return colon == address.npos ? "" : std::string(host);
}

}  // namespace

absl::StatusOr<GatewayMetadata> gateway_metadata(const net::HttpRequest& request) {
  GatewayMetadata out;
  absl::StatusOr<std::optional<Duration>> timeout = timeout_of(request.field("Grpc-Timeout"));
  if (!timeout.ok()) return timeout.status();
  out.timeout = *timeout;
  std::string came_from;
  for (const net::HttpField& field : request.fields) {
    const std::string name = lower(field.name);
    if (name == "x-forwarded-for") came_from += cat(came_from.empty() ? "" : ", ", field.value);
    if (name == "authorization") out.entries.emplace_back(name, field.value);
    std::optional<std::string> known = name == "host" ? std::nullopt : name_in_metadata(name);
    if (!known) continue;
    std::string value = field.value;
    if (name.ends_with("-bin")) {
      absl::StatusOr<std::string> bytes = decode_binary(name, value);
      if (!bytes.ok()) return bytes.status();
      value = *std::move(bytes);
    } else if (!is_text(value)) {
      continue;
    }
    out.entries.emplace_back(*std::move(known), std::move(value));
  }
  std::string_view host = request.field("X-Forwarded-Host");
  if (host.empty()) host = request.field("Host");
  if (!host.empty()) out.entries.emplace_back("x-forwarded-host", host);
  const std::string from = host_of(request.peer.address);
  if (!from.empty()) came_from += cat(came_from.empty() ? "" : ", ", from);
  if (!came_from.empty()) out.entries.emplace_back("x-forwarded-for", came_from);
  return out;
}

}  // namespace keelson::http
