// tests/stats/lines.h
//
// What a log says of requests, in a form in which etcd 3.5 and 3.7 are alike: 3.5 prints messages
// in the older of the two forms of Go's protobuf texts (other brackets, blanks and escapes).

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::stats {

// A line's fields, those that have a reason to differ left out.
using Line = std::map<std::string, std::string>;

// "key : S61 limit : 3 { … }": the same for both forms.
std::string tokens_of(std::string_view text);

// The lines "request stats" about the KV service.
std::vector<Line> stats_lines(const std::string& log);
// The lines "apply request took too long" about keys.
std::vector<Line> slow_lines(const std::string& log);

// Whether each of `some` has its equal among `all`, in order; etcd leaves lines out when there are
// many. `what` is printed with the first that has none.
bool all_among(const std::vector<Line>& some, const std::vector<Line>& all, std::string_view what);

}  // namespace keelson::stats
