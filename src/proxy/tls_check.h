// proxy/tls_check.h
//
// Asks servers to prove under TLS that they have a certificate for a name.
//
// Threads: check_tls() on any but a lane: it waits, at most some ten seconds, for all of them
//   side by side, on a loop of its own.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/endpoints.h"

namespace keelson::proxy {

// For each endpoint, in their order: ok, or why it is not believed.
// Errors: InvalidArgument for a CA file that cannot be used. (Empty: the system's roots.)
absl::StatusOr<std::vector<absl::Status>> check_tls(const std::vector<Endpoint>& endpoints,
                                                    const std::string& name,
                                                    const std::string& trusted_ca_file);

}  // namespace keelson::proxy
