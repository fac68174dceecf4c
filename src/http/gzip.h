// http/gzip.h
//
// Answers compressed for who takes them so.
//
// Threads: pure functions.

#pragma once

#include <string>
#include <string_view>

namespace keelson::http {

// Quick rather than small.
std::string gzip(std::string_view text);

// What a request's Accept-Encoding says: gzip, or anything, and not with q=0.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace keelson::http
