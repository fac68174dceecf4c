#include "base/text.h"
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

// The first four lines are those of `etcd --version`, which tools read by position; the third says
// what stands in for Go.
std::string version_text() {
  return cat("etcd Version: ", kEtcdVersion, "\nGit SHA: ", KEELSON_GIT_SHA,
             "\nGo Version: none (C++ ", __VERSION__, ")\nGo OS/Arch: linux/", kArchitecture,
             "\nKeelson Version: ", kKeelsonVersion, "\n");
}

}  // namespace keelson::server
