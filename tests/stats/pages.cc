#include "tests/stats/pages.h"

#include <nlohmann/json.hpp>
#include <regex>

#include "base/text.h"
#include "tests/harness/http.h"

namespace keelson::stats {
namespace {

std::string squeezed(const std::string& text) {
  return std::regex_replace(std::regex_replace(text, std::regex("\\s+"), " "), std::regex("^ | $"),
                            "");
}

void add_names(const nlohmann::json& value, const std::string& prefix,
               std::set<std::string>& names) {
  if (!value.is_object()) return;
  for (const auto& [name, member] : value.items()) {
    const bool is_id = prefix == "raft.status.progress.";
    const std::string full = prefix + (is_id ? "ID" : name);
    names.insert(full);
    add_names(member, full + ".", names);
  }
}

}  // namespace

Page page_of(const harness::Server& server, const std::string& target) {
  absl::StatusOr<harness::HttpAnswer> answer =
      harness::http_request(server.address(), "GET", target);
  if (!answer.ok()) return {};
  return {answer->code, answer->content_type, answer->body};
}

std::vector<std::string> row_of(const std::string& page, const std::string& family) {
  const size_t begin = page.find(cat("<td class=\"family\">", family, "</td>"));
  if (begin == std::string::npos) return {};
  const std::string row = page.substr(begin, page.find("</tr>", begin) - begin);
  std::vector<std::string> cells;
  const std::regex cell("<td[^>]*>([\\s\\S]*?)</td>"),
      link("<a href=\"([^\"]*)\">([\\s\\S]*?)</a>");
  for (std::sregex_iterator at(row.begin(), row.end(), cell), end; at != end; ++at) {
    const std::string content = (*at)[1];
    std::smatch inner;
    cells.push_back(std::regex_search(content, inner, link)
                        ? cat(squeezed(inner[2]), " ", std::string(inner[1]))
                        : squeezed(content));
  }
  return cells;
}

std::set<std::string> shapes_of(const std::string& page, const std::string& name) {
  std::set<std::string> shapes;
  const std::regex cell(cat("<td class=\"", name, "\">([^<]*)</td>"));
  for (std::sregex_iterator at(page.begin(), page.end(), cell), end; at != end; ++at) {
    shapes.insert(std::regex_replace(std::string((*at)[1]), std::regex("[ 0-9]"), "9"));
  }
  return shapes;
}

std::set<std::string> names_in(const std::string& json) {
  std::set<std::string> names;
  add_names(nlohmann::json::parse(json, nullptr, false), "", names);
  return names;
}

}  // namespace keelson::stats
