#include "base/text.h"
#include "server/build_info.h"
#include "server/config.h"

#ifndef KEELSON_GIT_SHA
#define KEELSON_GIT_SHA "unknown"
#endif

namespace keelson::server {
namespace {

constexpr std::string_view kArchitecture =
#if defined(__x86_64__)
    "amd64";
#elif defined(__aarch64__)
    "arm64";
#else
    "unknown";
#endif

}  // namespace

BuildInfo build_info() { return {KEELSON_GIT_SHA, "none (C++ " __VERSION__ ")", kArchitecture}; }

// The first four lines are those of `etcd --version`, which tools read by position; the third says
// what stands in for Go.
std::string version_text() {
  const BuildInfo build = build_info();
  return cat("etcd Version: ", kEtcdVersion, "\nGit SHA: ", build.git_sha,
             "\nGo Version: ", build.toolchain, "\nGo OS/Arch: linux/", build.architecture,
             "\nKeelson Version: ", kKeelsonVersion, "\n");
}

}  // namespace keelson::server
