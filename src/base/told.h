// base/told.h
//
// What a client chose, cut to what a line of the log may tell of it: names and keys may have
// megabytes, and each byte of them may take six in a line.
// Threads: pure. Lifetime: that of the text.

#pragma once

#include <cstddef>
#include <string_view>

namespace keelson {

inline constexpr size_t kMostTold = 256;

constexpr std::string_view told(std::string_view text) { return text.substr(0, kMostTold); }

}  // namespace keelson
