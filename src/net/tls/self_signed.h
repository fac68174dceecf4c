// net/tls/self_signed.h
//
// The certificate that a member makes for itself (--auto-tls, --peer-auto-tls), kept in a directory
// and used again at the next start. Everything in it is as etcd makes it.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::net {

struct SelfSigned {
  std::string cert_file, key_file;  // absolute
};

// `hosts` are "host:port" of the listen URLs. Makes the directory (0700) if it is not there; what
// lies in it already stays as it is.
// Errors: a validity of no years, and whatever the file system says.
absl::StatusOr<SelfSigned> self_signed(const std::string& directory,
                                       const std::vector<std::string>& hosts,
                                       uint64_t validity_years);

}  // namespace keelson::net
