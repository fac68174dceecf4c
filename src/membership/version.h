// membership/version.h
//
// Versions of servers and of the cluster, and the rules by which one follows from the others: the
// cluster speaks what its oldest member speaks, goes up by itself, and down only by one minor
// version, when it was asked to.
//
// Threads: plain values, pure functions.
// Source: etcd v3.7.1, server/etcdserver/version (monitor.go, downgrade.go).

#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::membership {

struct Version {
  uint64_t major = 0, minor = 0, patch = 0;

  // "3.7.1", perhaps with a label behind it, which does not count; nothing for anything else.
  static std::optional<Version> parse(std::string_view text);
  // The same, or "3.7": a version as people name it for a downgrade.
  static std::optional<Version> parse_short(std::string_view text);

  // As a cluster version: without the patch.
  Version release() const { return {major, minor, 0}; }
  std::string str() const;    // "3.7.0"
  std::string brief() const;  // "3.7"

  friend auto operator<=>(const Version&, const Version&) = default;
};

// What this program speaks: the level of etcd that it is compatible with.
inline constexpr Version kOurVersion{3, 7, 1};
// What a cluster speaks while a member's version is not known.
inline constexpr Version kLeastClusterVersion{3, 0, 0};

struct Downgrade {
  bool enabled = false;
  std::string target;  // "3.6.0"; empty unless enabled

  friend bool operator==(const Downgrade&, const Downgrade&) = default;
};

// The only version that a cluster of `from` can be taken down to.
Version downgrade_target(Version from);

// The least of the servers' versions. Nothing if one is unknown, or there are none.
std::optional<Version> least_version(const std::vector<std::optional<Version>>& servers);

// The version that the cluster should have instead of `now`; nothing: it stays as it is.
std::optional<Version> next_cluster_version(std::optional<Version> now,
                                            std::optional<Version> least_server,
                                            const Downgrade& downgrade);

// Whether all servers are at the downgrade's target: it is done.
bool is_downgraded(const std::vector<std::optional<Version>>& servers, const Downgrade& downgrade);

}  // namespace keelson::membership
