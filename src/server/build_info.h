// server/build_info.h
//
// What this program was built from and with; the parts of etcd's version that are Go's.
//
// Threads: a pure function.

#pragma once

#include <string_view>

namespace keelson::server {

struct BuildInfo {
  std::string_view git_sha, toolchain, architecture;
};
BuildInfo build_info();

}  // namespace keelson::server
