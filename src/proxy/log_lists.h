// proxy/log_lists.h
//
// Lists of texts in log lines, as etcd logs them: a JSON list.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "ctl/json_text.h"

namespace keelson::proxy {

inline log::Field listed(std::string_view key, const std::vector<std::string>& texts) {
  std::vector<std::string> items;
  for (const std::string& text : texts) items.push_back(ctl::json_string(text));
  log::Field field(key, ctl::json_array(items));
  field.quoted = false;  // JSON as it is
  return field;
}

}  // namespace keelson::proxy
