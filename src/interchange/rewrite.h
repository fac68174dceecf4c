// interchange/rewrite.h
//
// A database of etcd's written anew in its place, dense, with or without changes: what etcdutl's
// defrag and migrate do. Beside the old one first, then by one rename.
//
// Threads: one caller. Exclusion: the file's lock, as etcd holds it.
// Errors: FailedPrecondition when etcd has it open; those of the file and the disk. The database is
//   as it was then.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace keelson::interchange {

struct Rewrite {
  std::string path;
  // Of bucket meta: what becomes of these records; nullopt: they go.
  std::map<std::string, std::optional<std::string>, std::less<>> meta = {};
};

absl::Status rewrite_database(const Rewrite& what);

}  // namespace keelson::interchange
