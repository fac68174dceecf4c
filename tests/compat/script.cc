#include "tests/compat/script.h"

#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "base/text.h"

namespace keelson::compat {
namespace {

const std::set<std::string>& verbs() {
  static const std::set<std::string> all = {
      "call",     "raw",    "let",  "stream", "send",    "half", "recv", "collect",
      "progress", "finish", "poll", "cancel", "restart", "kill", "http", "post"};
  return all;
}

std::string trim(const std::string& text) {
  const size_t from = text.find_first_not_of(" \t");
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

// "word rest" -> word, rest.
std::pair<std::string, std::string> first_word(const std::string& text) {
  const size_t space = std::min(text.find(' '), text.size());
  return {text.substr(0, space), trim(text.substr(space))};
}

void parse_options(const std::string& text, Step* step) {
  std::istringstream in(text);
  for (std::string option; std::getline(in, option, ',');) {
    const size_t equals = std::min(option.find('='), option.size());
    step->options.emplace(trim(option.substr(0, equals)),
                          equals < option.size() ? option.substr(equals + 1) : "");
  }
}

absl::StatusOr<Step> parse_step(const std::string& text, int line) {
  Step step;
  step.line = line;
  const size_t end = std::min(text.find_first_of(" ["), text.size());
  step.verb = text.substr(0, end);
  size_t from = end;
  if (end < text.size() && text[end] == '[') {
    from = text.find(']', end);
    if (from == std::string::npos) return absl::InvalidArgumentError("unclosed [");
    parse_options(text.substr(end + 1, from - end - 1), &step);
    ++from;
  }
  step.rest = trim(text.substr(from));
  if (!verbs().contains(step.verb)) {
    return absl::InvalidArgumentError(cat("unknown verb ", step.verb));
  }
  return step;
}

absl::Status continue_step(const std::string& text, Script* script) {
  if (script->steps.empty()) return absl::InvalidArgumentError("nothing to go on with");
  Step& step = script->steps.back();
  const auto [word, rest] = first_word(text);
  if (word == "differs") {
    step.differs = rest;
  } else if (word == "subject") {
    step.subject = rest;
  } else {
    step.rest += " " + text;
  }
  return absl::OkStatus();
}

absl::Status parse_line(const std::string& raw, int line, Script* script) {
  const std::string text = trim(raw);
  if (text.empty() || text.starts_with('#')) return absl::OkStatus();
  if (raw.starts_with(' ')) return continue_step(text, script);
  if (text.starts_with("flags ")) {
    std::istringstream in(text.substr(6));
    for (std::string flag; in >> flag;) script->flags.push_back(flag);
    return absl::OkStatus();
  }
  absl::StatusOr<Step> step = parse_step(text, line);
  if (!step.ok()) return step.status();
  script->steps.push_back(*std::move(step));
  return absl::OkStatus();
}

absl::StatusOr<std::string> value_of(const std::string& expression,
                                     const std::map<std::string, std::string>& variables) {
  if (expression.starts_with("repeat ")) {
    const auto [what, count] = first_word(expression.substr(7));
    std::string out;
    for (int i = std::stoi(count); i > 0; --i) out += what;
    return out;
  }
  const size_t sign = std::min(expression.find_first_of("+-", 1), expression.size());
  const auto found = variables.find(expression.substr(0, sign));
  if (found == variables.end()) return absl::NotFoundError(cat("no variable ", expression));
  if (sign == expression.size()) return found->second;
  return cat(std::stoll(found->second) + std::stoll(expression.substr(sign)));
}

}  // namespace

absl::StatusOr<Script> read_script(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(cat("cannot read ", path));
  Script script;
  script.path = path;
  int line = 0;
  for (std::string text; std::getline(in, text);) {
    ++line;
    const absl::Status status = parse_line(text, line, &script);
    if (!status.ok()) {
      return absl::InvalidArgumentError(cat(path, ":", line, ": ", status.message()));
    }
  }
  return script;
}

absl::StatusOr<std::string> expand(const std::string& text,
                                   const std::map<std::string, std::string>& variables) {
  std::string out;
  size_t from = 0;
  for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", from)) {
    const size_t end = text.find('}', at);
    if (end == std::string::npos) return absl::InvalidArgumentError("unclosed ${");
    out += text.substr(from, at - from);
    absl::StatusOr<std::string> value = value_of(text.substr(at + 2, end - at - 2), variables);
    if (!value.ok()) return value.status();
    out += *value;
    from = end + 1;
  }
  return out + text.substr(from);
}

}  // namespace keelson::compat
