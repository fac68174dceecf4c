// ctl/gotext.h
//
// The text forms that etcdctl's output and messages take from Go's standard library: %q quoting,
// number parsing with its error texts, durations, byte sizes. Pure functions, any thread.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::ctl {

using Nanos = std::chrono::nanoseconds;

// The letter behind the backslash that Go writes for this control character, in %q and in JSON
// alike; 0 if it has none there.
char escape_letter(char c);

// strconv.Quote: what fmt prints for %q.
std::string go_quote(std::string_view text);

// Reads one Go string literal ("…" with escapes, or `…`) from the front of `input`, which is
// advanced past it. Fails if there is none or an escape is malformed.
absl::StatusOr<std::string> take_quoted(std::string_view& input);

// strconv.ParseInt / ParseUint; errors read `strconv.ParseInt: parsing "x": invalid syntax`.
absl::StatusOr<int64_t> parse_int(std::string_view text, int base);
absl::StatusOr<uint64_t> parse_uint(std::string_view text, int base);
// strconv.ParseBool.
absl::StatusOr<bool> parse_bool(std::string_view text);

// time.ParseDuration; Duration.String is base/time_text.h.
absl::StatusOr<Nanos> parse_duration(std::string_view text);

std::string hex(uint64_t value);                  // %x
std::string hex16(uint64_t value);                // %016x
std::string hex_wide(uint64_t value);             // %16x
std::string escaped_hex(std::string_view bytes);  // \x61\x62

// Decimal sizes as in "20 kB", "1.2 MB".
std::string human_bytes(uint64_t bytes);

std::string base64(std::string_view bytes);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

// Takes blanks (space, tab, CR, LF, VT, FF) off both ends.
std::string_view trim_space(std::string_view text);

}  // namespace keelson::ctl
