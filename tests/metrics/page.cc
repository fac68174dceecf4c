#include "tests/metrics/page.h"

#include <cstdlib>
#include <sstream>

#include "base/text.h"
#include "tests/harness/http.h"

namespace keelson::metrics {

absl::StatusOr<Page> Page::scrape(const std::string& address) {
  absl::StatusOr<harness::HttpAnswer> answer = harness::http_request(address, "GET", "/metrics");
  if (!answer.ok()) return answer.status();
  if (answer->code != 200) return absl::UnavailableError(cat("/metrics answers ", answer->code));
  Page page;
  std::istringstream lines(answer->body);
  for (std::string line; std::getline(lines, line);) {
    size_t space = line.rfind(' ');
    if (line.starts_with('#') || space == std::string::npos) continue;
    page.rows_[line.substr(0, space)] = std::strtod(line.c_str() + space, nullptr);
  }
  return page;
}

bool Page::has(const std::string& name) const {
  for (const char* end : {"", "_count"}) {
    auto row = rows_.lower_bound(name + end);
    if (row == rows_.end()) continue;
    if (row->first == name + end || row->first.starts_with(name + end + "{")) return true;
  }
  return false;
}

double Page::value(const std::string& row) const {
  auto found = rows_.find(row);
  return found == rows_.end() ? 0 : found->second;
}

}  // namespace keelson::metrics
