#include "interchange/etcd_version.h"

#include <charconv>

#include "base/text.h"

namespace keelson::interchange {

std::optional<int> minor_of(std::string_view version) {
  constexpr std::string_view kMajor = "3.";
  if (!version.starts_with(kMajor)) return std::nullopt;
  const char* end = version.data() + version.size();
  int minor = 0;
  const auto [stop, error] = std::from_chars(version.data() + kMajor.size(), end, minor);
  if (error != std::errc() || minor < 0) return std::nullopt;
  if (stop != end && *stop != '.') return std::nullopt;
  return minor;
}

std::string version_of(int minor) { return cat("3.", minor, ".0"); }

}  // namespace keelson::interchange
