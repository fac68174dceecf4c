// interchange/etcd_version.h
//
// The versions that etcd writes into its files: "3.7.0".
//
// Threads: pure functions.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace keelson::interchange {

// Of the newest etcd 3 whose files we read and write.
inline constexpr int kNewestMinor = 7;
// Of the oldest whose files we read; the oldest that we write for.
inline constexpr int kOldestMinor = 5;

// "3.7.0" and the like. nullopt: no version of etcd 3.
std::optional<int> minor_of(std::string_view version);
// "3.<minor>.0".
std::string version_of(int minor);

}  // namespace keelson::interchange
