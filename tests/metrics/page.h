// tests/metrics/page.h
//
// One scrape of /metrics as a map: "name{labels}" to value, as the text has them.

#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace keelson::metrics {

class Page {
 public:
  // Of the server at "host:port". Unavailable when it does not answer 200.
  static absl::StatusOr<Page> scrape(const std::string& address);

  // Is there a row of this metric, or of a histogram by that name?
  bool has(const std::string& name) const;
  // 0 when there is no such row: a counter with labels has none before its first count.
  double value(const std::string& row) const;
  const std::map<std::string, double>& rows() const { return rows_; }

 private:
  std::map<std::string, double> rows_;
};

}  // namespace keelson::metrics
