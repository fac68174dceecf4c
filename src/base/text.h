// base/text.h
//
// Debian's Abseil keeps a string_view type of its own, apart from std's. We speak
// std::string_view everywhere; these cross over where an absl function needs its own.

#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace keelson {

inline absl::string_view to_absl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view from_absl(absl::string_view s) { return {s.data(), s.size()}; }

// The message of a status as std::string_view; valid as long as the status.
inline std::string_view message_of(const absl::Status& status) {
  return from_absl(status.message());
}

// Joins texts and numbers: cat("rev ", 7).
template <typename... Parts>
std::string cat(const Parts&... parts) {
  auto adapt = [](const auto& part) -> decltype(auto) {
    using Part = std::decay_t<decltype(part)>;
    if constexpr (std::is_same_v<Part, std::string_view>) {
      return to_absl(part);
    } else {
      return (part);
    }
  };
  return absl::StrCat(adapt(parts)...);
}

}  // namespace keelson
