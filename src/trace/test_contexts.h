// trace/test_contexts.h
//
// The twin of what reads traceparent and tracestate, for tests: the formats as patterns. Slow, and
// for short texts only.
//
// Threads: pure functions.

#pragma once

#include <algorithm>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "trace/context.h"

namespace keelson::trace {

// std::regex goes a stack frame deep for each character.
inline constexpr size_t kMostForTwins = 2048;

inline std::optional<SpanContext> twin_of_traceparent(const std::string& text) {
  static const std::regex now("00-([0-9a-f]{16})([0-9a-f]{16})-([0-9a-f]{16})-(0[0-3])-?");
  static const std::regex later(
      "(?!ff|00)[0-9a-f]{2}-([0-9a-f]{16})([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{2})(-[^]*)?");
  std::smatch part;
  if (!std::regex_match(text, part, now) && !std::regex_match(text, part, later)) return {};
  auto number = [&](size_t i) { return std::stoull(part[i].str(), nullptr, 16); };
  SpanContext context{.trace = {number(1), number(2)},
                      .span = {number(3)},
                      .flags = static_cast<uint8_t>(number(4) & 3)};
  if (!context.trace.valid() || !context.span.valid()) return {};
  return context;
}

inline std::string twin_of_tracestate(const std::string& text) {
  static const std::regex format(
      "[ \t]*([a-z][-_*/a-z0-9]{0,255}|[a-z0-9][-_*/a-z0-9]{0,240}@[a-z][-_*/a-z0-9]{0,13})"
      "=([ -+\\--<>-~]{0,255}[!-+\\--<>-~])[ \t]*");
  std::istringstream members(text);
  std::vector<std::string> keys;
  std::string state;
  for (std::string member; std::getline(members, member, ',');) {
    if (member.empty()) continue;
    std::smatch part;
    if (!std::regex_match(member, part, format)) return "";
    if (std::count(keys.begin(), keys.end(), part[1].str()) > 0) return "";
    keys.push_back(part[1].str());
    if (keys.size() > 32) return "";
    if (!state.empty()) state += ",";
    state += part[1].str() + "=" + part[2].str();
  }
  return state;
}

}  // namespace keelson::trace
