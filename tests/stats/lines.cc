#include "tests/stats/lines.h"

#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/text.h"

namespace keelson::stats {
namespace {

int digits(std::string_view text, size_t* at, int base, int most) {
  int value = 0;
  for (int i = 0; i < most && *at < text.size(); ++i, ++*at) {
    const char c = text[*at];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
    if (digit >= base) break;
    value = value * base + digit;
  }
  return value;
}

// The bytes of a quoted text of either form; `at` is behind its first quote, and then its last.
std::string unquoted(std::string_view text, size_t* at) {
  std::string out;
  while (*at < text.size() && text[*at] != '"') {
    const char c = text[(*at)++];
    if (c != '\\' || *at == text.size()) {
      out += c;
      continue;
    }
    const char escape = text[*at];
    if (escape >= '0' && escape <= '7') {
      out += static_cast<char>(digits(text, at, 8, 3));
      continue;
    }
    ++*at;
    if (escape == 'x') {
      out += static_cast<char>(digits(text, at, 16, 2));
    } else if (escape == 'u') {  // a control character of two bytes
      out += '\xc2';
      out += static_cast<char>(digits(text, at, 16, 4));
    } else {
      out += escape == 'n' ? '\n' : escape == 'r' ? '\r' : escape == 't' ? '\t' : escape;
    }
  }
  ++*at;
  return out;
}

std::vector<nlohmann::json> lines_of(const std::string& log, std::string_view message) {
  std::vector<nlohmann::json> out;
  std::istringstream in(log);
  for (std::string text; std::getline(in, text);) {
    auto line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.value("msg", "") == message) out.push_back(std::move(line));
  }
  return out;
}

std::string text_of(const Line& line) {
  std::string out;
  for (const auto& [name, value] : line) out += cat("  ", name, ": ", value, "\n");
  return out;
}

std::string without_number(std::string text, std::string_view before) {
  const size_t at = text.find(before);
  if (at == std::string::npos) return text;
  const size_t from = at + before.size();
  return text.replace(from, std::min(text.find(' ', from), text.size()) - from, "N");
}

}  // namespace

std::string tokens_of(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ') {
      ++at;
    } else if (c == '"') {
      ++at;
      out += "S";
      for (const char byte : unquoted(text, &at))
        out += absl::StrCat(absl::Hex(byte & 0xff, absl::kZeroPad2));
      out += ' ';
    } else if (c == ':' || c == '<' || c == '{' || c == '>' || c == '}') {
      ++at;
      out += c == ':' ? ": " : c == '<' || c == '{' ? "{ " : "} ";
    } else {
      while (at < text.size() && !std::strchr(" :<>{}\"", text[at])) out += text[at++];
      out += ' ';
    }
  }
  return out;
}

std::vector<Line> stats_lines(const std::string& log) {
  std::vector<Line> out;
  for (const auto& line : lines_of(log, "request stats")) {
    const std::string method = line.at("response type");
    if (!method.starts_with("/etcdserverpb.KV/")) continue;
    Line one{{"method", method}, {"level", line.at("level").get<std::string>()}};
    for (const char* name : {"request count", "request size", "response count", "response size"}) {
      one[name] = cat(line.at(name).get<int64_t>());
    }
    one["content"] = tokens_of(line.at("request content").get<std::string>());
    // There, whatever they say.
    for (const char* name : {"start time", "time spent", "remote"}) {
      one[name] = line.at(name).get<std::string>().empty() ? "missing" : "there";
    }
    one["fields"] = cat(line.size());
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<Line> slow_lines(const std::string& log) {
  std::vector<Line> out;
  for (const auto& line : lines_of(log, "apply request took too long")) {
    Line one{{"prefix", line.at("prefix").get<std::string>()},
             {"expected", line.at("expected-duration").get<std::string>()},
             {"response", tokens_of(line.at("response").get<std::string>())},
             {"error", line.contains("error") ? "there" : "none"},
             {"fields", cat(line.size())}};
    const std::string request = tokens_of(line.at("request").get<std::string>());
    bool about_keys = !one["prefix"].empty();
    for (const char* kind : {"} put : {", "} txn : {", "} delete_range : {"}) {
      about_keys |= request.find(kind) != std::string::npos;
    }
    if (!about_keys) continue;
    one["request"] = without_number(request, "header : { ID : ");
    out.push_back(std::move(one));
  }
  return out;
}

bool all_among(const std::vector<Line>& some, const std::vector<Line>& all, std::string_view what) {
  size_t at = 0;
  for (const Line& line : some) {
    const size_t from = at;
    while (at < all.size() && all[at] != line) ++at;
    if (at++ < all.size()) continue;
    std::cout << "FAILED: " << what << ": etcd says\n"
              << text_of(line) << "where the subject says\n"
              << (from < all.size() ? text_of(all[from]) : "nothing\n");
    return false;
  }
  return true;
}

}  // namespace keelson::stats
