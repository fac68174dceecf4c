// tests/stats/pages.h
//
// /debug/requests, /debug/events and /debug/vars of a server, as far as one can be held against
// another.

#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/harness/server.h"

namespace keelson::stats {

struct Page {
  int code = 0;
  std::string type;
  std::string body;
};
Page page_of(const harness::Server& server, const std::string& target);

// The cells of the table's row of this family: "[0 active]", "[≥0s]", …; a link is in it as
// "[≥0s] ?fam=…&b=0".
std::vector<std::string> row_of(const std::string& page, const std::string& family);
// The texts of the cells of this class ("when", "elapsed"), digits as 9.
std::set<std::string> shapes_of(const std::string& page, const std::string& cell);

// All names in a JSON object, "memstats.HeapAlloc" for those within; names that are a member's id
// as "ID".
std::set<std::string> names_in(const std::string& json);

}  // namespace keelson::stats
