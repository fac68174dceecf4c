#include "trace/context.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/endian.h"

namespace keelson::trace {
namespace {

constexpr size_t kMostMembers = 32;

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Takes what stands before the next '-', and that, off the front.
std::string_view cut(std::string_view* text, char at) {
  const size_t end = std::min(text->find(at), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

uint64_t number_of(std::string_view hex) {
  uint64_t number = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), number, 16);
  return number;
}

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_lower_or_digit(char c) { return is_lower(c) || (c >= '0' && c <= '9'); }

bool is_rest_of_key(std::string_view text, size_t most) {
  return text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) {
           return is_lower_or_digit(c) || c == '_' || c == '-' || c == '*' || c == '/';
         });
}

// "vendor", or "tenant@vendor".
bool is_key(std::string_view key) {
  const size_t at = key.find('@');
  const bool with_tenant = at != key.npos;
  if (with_tenant) {
    const std::string_view tenant = key.substr(0, at);
    if (tenant.empty() || !is_lower_or_digit(tenant[0])) return false;
    if (!is_rest_of_key(tenant.substr(1), 240)) return false;
    key.remove_prefix(at + 1);
  }
  return !key.empty() && is_lower(key[0]) && is_rest_of_key(key.substr(1), with_tenant ? 13 : 255);
}

bool is_value(std::string_view value) {
  return !value.empty() && value.size() <= 256 && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

}  // namespace

std::string TraceId::bytes() const { return big64(high) + big64(low); }
std::string SpanId::bytes() const { return big64(value); }

std::optional<SpanContext> parse_traceparent(std::string_view text) {
  const std::string_view version = cut(&text, '-');
  const std::string_view trace = cut(&text, '-');
  const std::string_view span = cut(&text, '-');
  const std::string_view flags = cut(&text, '-');
  if (version.size() != 2 || trace.size() != 32 || span.size() != 16 || flags.size() != 2) {
    return std::nullopt;
  }
  for (std::string_view part : {version, trace, span, flags}) {
    if (!is_lower_hex(part)) return std::nullopt;
  }
  if (version == "ff") return std::nullopt;
  const auto bits = static_cast<uint8_t>(number_of(flags));
  // Later versions may say more; of this one we know that there is no more.
  if (version == "00" && (!text.empty() || bits > (kSampled | kRandom))) return std::nullopt;
  SpanContext context{
      .trace = {.high = number_of(trace.substr(0, 16)), .low = number_of(trace.substr(16))},
      .span = {number_of(span)},
      .flags = static_cast<uint8_t>(bits & (kSampled | kRandom))};
  if (!context.trace.valid() || !context.span.valid()) return std::nullopt;
  return context;
}

std::string parse_tracestate(std::string_view text) {
  std::string state;
  std::vector<std::string_view> keys;
  while (!text.empty()) {
    const std::string_view member = cut(&text, ',');
    if (member.empty()) continue;
    const size_t equals = member.find('=');
    if (equals == member.npos) return {};
    std::string_view key = member.substr(0, equals);
    std::string_view value = member.substr(equals + 1);
    key.remove_prefix(std::min(key.find_first_not_of(" \t"), key.size()));
    value = value.substr(0, value.find_last_not_of(" \t") + 1);
    if (!is_key(key) || !is_value(value)) return {};
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) return {};
    keys.push_back(key);
    if (keys.size() > kMostMembers) return {};
    if (!state.empty()) state += ',';
    state.append(key).append("=").append(value);
  }
  return state;
}

}  // namespace keelson::trace
