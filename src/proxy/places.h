// proxy/places.h
//
// Whether the places that a gateway is told of can be: where it listens, and that no endpoint is
// that place again, which would have it serve itself for ever.
//
// Threads: any but a lane; looks names up.
// Source: etcd v3.7.1, server/etcdmain/gateway.go, with its texts. Here a gateway that listens on
//   all of the machine's addresses is recognised, too.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "proxy/endpoints.h"

namespace keelson::proxy {

// Errors: InvalidArgument.
absl::Status check_places(const std::string& listen_address,
                          const std::vector<Endpoint>& endpoints);

}  // namespace keelson::proxy
