#include "membership/version.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace keelson::membership {

std::optional<Version> Version::parse(std::string_view text) {
  text = text.substr(0, text.find_first_of("-+"));
  Version out;
  uint64_t* const parts[] = {&out.major, &out.minor, &out.patch};
  for (uint64_t* part : parts) {
    if (part != &out.major) {
      if (text.empty() || text[0] != '.') return std::nullopt;
      text.remove_prefix(1);
    }
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *part);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  if (!text.empty()) return std::nullopt;
  return out;
}

std::optional<Version> Version::parse_short(std::string_view text) {
  std::optional<Version> whole = parse(text);
  return whole ? whole : parse(cat(text, ".0"));
}

std::string Version::str() const { return cat(major, ".", minor, ".", patch); }
std::string Version::brief() const { return cat(major, ".", minor); }

// There is nothing below x.0, and no server of that.
Version downgrade_target(Version from) {
  return {from.major, from.minor == 0 ? UINT64_MAX : from.minor - 1, 0};
}

std::optional<Version> least_version(const std::vector<std::optional<Version>>& servers) {
  std::optional<Version> least;
  for (const std::optional<Version>& server : servers) {
    if (!server) return std::nullopt;
    if (!least || *server < *least) least = server;
  }
  return least;
}

std::optional<Version> next_cluster_version(std::optional<Version> now,
                                            std::optional<Version> least_server,
                                            const Downgrade& downgrade) {
  if (!now) return least_server.value_or(kLeastClusterVersion).release();
  if (!least_server) return std::nullopt;
  const Version least = least_server->release();
  if (downgrade.enabled) {
    const std::optional<Version> target = Version::parse(downgrade.target);
    if (!target || *target == *now) return std::nullopt;
    if (*target != downgrade_target(*now) || *target != downgrade_target(least)) {
      return std::nullopt;
    }
    return *target;
  }
  if (now->major == least.major && now->release() < least) return least;
  return std::nullopt;
}

bool is_downgraded(const std::vector<std::optional<Version>>& servers, const Downgrade& downgrade) {
  const std::optional<Version> target = Version::parse(downgrade.target);
  if (!downgrade.enabled || !target) return false;
  return std::all_of(servers.begin(), servers.end(), [&](const std::optional<Version>& server) {
    return server && server->release() == target->release();
  });
}

}  // namespace keelson::membership
