// interchange/change_over.h
//
// How a member's directory, and its log where that lies elsewhere, change places with a pair that
// was made beside them: the names, and the moves.
//
// Threads: one caller, while no server runs on the directory.

#pragma once

#include <string>

#include "absl/status/status.h"

namespace keelson::interchange {

// The log that is taken ahead when one is made: a segment, and the next.
inline constexpr uint64_t kLogSpace = 2 * uint64_t{64'000'000};

bool there(const std::string& path);
absl::Status remove_all(const std::string& path);
std::string parent_of(const std::string& path);

// A rename that is durable.
absl::Status move(const std::string& from, const std::string& to);
// Two names in one directory change places, in one step: there is no moment at which one of them is
// missing. Not durable before the directory is synced.
absl::Status exchange(const std::string& one, const std::string& other);
// Whether the file system in which `path` lies can do that; tried with two directories of its own.
absl::Status check_exchange(const std::string& path);

// A directory that something is mounted on cannot be renamed.
bool is_mount_point(const std::string& path);

// Of both directories: what there is, and beside it what is made, under the same name and `ending`.
struct Places {
  Places(const std::string& data_dir, const std::string& wal_dir, const std::string& ending);

  std::string member, made;
  // The log within the member's directory is moved with it; `made_log` is where it is made.
  std::string log, made_log;
  bool log_is_inside = false;
};

// FailedPrecondition when the log lies where something is mounted.
absl::Status check_places(const Places& places);

}  // namespace keelson::interchange
