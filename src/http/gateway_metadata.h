// http/gateway_metadata.h
//
// What a request's header fields are to the call: its metadata, and how long it may take.
//
// Errors: InvalidArgument for a timeout or a binary field that is none.
// Source: grpc-gateway v2.29, runtime/context.go and mux.go (which fields, under which names).

#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "net/http.h"

namespace keelson::http {

struct GatewayMetadata {
  std::vector<std::pair<std::string, std::string>> entries;  // names in lower case
  std::optional<Duration> timeout;
};

absl::StatusOr<GatewayMetadata> gateway_metadata(const net::HttpRequest& request);

}  // namespace keelson::http
