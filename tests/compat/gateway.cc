// What of Side deals with the JSON gateway: a request, and an answer that can be compared whatever
// the order and the blanks of its members.

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/text.h"
#include "tests/compat/side.h"
#include "tests/harness/http.h"
#include "tests/harness/tls.h"

namespace keelson::compat {
namespace {

using nlohmann::json;

// Members that only have to be there; as the mask has it for messages.
const std::set<std::string>& presence_only() {
  static const std::set<std::string> names = {
      "raft_term", "dbSize", "dbSizeInUse", "raftIndex",       "raftTerm",    "raftAppliedIndex",
      "token",     "blob",   "hash",        "remaining_bytes", "dbSizeQuota", "leader"};
  return names;
}

json settled(const json& value) {
  json out = value;
  if (value.is_array()) {
    for (json& item : out) item = settled(item);
  } else if (value.is_object()) {
    for (auto& [name, member] : out.items()) {
      member = presence_only().contains(name) ? json("(something)") : settled(member);
    }
  }
  return out;
}

// Line for line; what is no JSON as it is.
std::string settled_lines(const std::string& body, bool last) {
  std::istringstream in(body);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    const json value = json::parse(line, nullptr, false);
    lines.push_back(value.is_discarded() ? line : settled(value).dump());
  }
  if (last && lines.size() > 1) lines.erase(lines.begin(), lines.end() - 1);
  std::string out;
  for (const std::string& line : lines) out += cat("\n    ", line);
  return out;
}

}  // namespace

// "/v3/kv/put {…}". Options: verb=…, header:NAME=VALUE, lines=N (takes N lines of the answer and
// goes), type (the types of the content, too), where (a redirection's Location), last (of a stream,
// the last line only).
Answer Side::post(const Step& step, const std::string& rest) {
  harness::HttpQuestion question{.verb = "POST"};
  const size_t space = std::min(rest.find(' '), rest.size());
  question.target = rest.substr(0, space);
  question.body = rest.substr(std::min(space + 1, rest.size()));
  if (question.body == "(nothing)") question.body.clear();
  for (const auto& [name, value] : step.options) {
    if (name == "verb") question.verb = value;
    if (name == "lines") question.lines = std::stoul(value);
    if (name.starts_with("header:")) question.fields.emplace_back(name.substr(7), value);
  }
  auto got = harness::http_request(server_.address(), question);
  Answer answer;
  if (!got.ok()) {
    answer.broken = true;
    answer.message = std::string(got.status().message());
    return answer;
  }
  answer.text = cat("HTTP ", got->code);
  if (step.options.contains("code")) return answer;
  for (const char* name : {"content-type", "grpc-metadata-content-type", "www-authenticate",
                           "access-control-allow-origin"}) {
    if (!step.options.contains("type") && got->code == 200) break;
    // Under TLS etcd's errors have it as well, from another way to its own gRPC server.
    if (harness::test_tls() != nullptr && name[0] == 'g') continue;
    const auto field = got->fields.find(name);
    answer.text += cat(" ", field == got->fields.end() ? "-" : field->second);
  }
  if (step.options.contains("where")) answer.text += cat(" to ", got->fields["location"]);
  answer.text += settled_lines(got->body, step.options.contains("last"));
  const json value = json::parse(got->body, nullptr, false);
  if (value.is_object()) {
    for (const auto& [name, member] : value.items()) {
      if (member.is_string()) variables_["json." + name] = member.get<std::string>();
    }
  }
  return answer;
}

}  // namespace keelson::compat
