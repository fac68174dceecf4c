// server/go_values.h
//
// Values of flags and files in the spelling that Go programs accept and print, which is what every
// script around etcd is written for: booleans, integers with prefixes, durations, quoted strings.
// Source: the documentation of Go's packages strconv, time and flag.
//
// Errors: InvalidArgument with the words of Go's flag package ("parse error", "value out of
// range"), so that whole messages match etcd's.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace keelson::server {

absl::StatusOr<bool> parse_bool(std::string_view text);    // 1 t T true TRUE True 0 f F …
absl::StatusOr<int64_t> parse_int(std::string_view text);  // 12, -0x1f, 0b1, 0o7, 1_000
absl::StatusOr<uint64_t> parse_uint(std::string_view text);
absl::StatusOr<Duration> parse_duration(std::string_view text);  // 300ms, 1h30m, -1.5s, 0
// What Go's package time says of a text that parse_duration() does not take.
std::string duration_fault(std::string_view text);

std::string lower(std::string_view text);   // ASCII
std::string quoted(std::string_view text);  // "a\nb" as %q prints it

// Split at each comma; the empty text has no parts.
std::vector<std::string> comma_parts(std::string_view text);
// The same sorted and without duplicates.
std::vector<std::string> unique_comma_parts(std::string_view text);

}  // namespace keelson::server
