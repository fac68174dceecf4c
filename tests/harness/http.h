// tests/harness/http.h
//
// One HTTP/1.1 request, for the probes' and scrapers' side of a server. Blocking. Under TLS when
// tests/harness/tls.h says so.

#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace keelson::harness {

struct HttpAnswer {
  int code = 0;
  std::string content_type;
  std::string body;
};

// `address` is "127.0.0.1:port". Unavailable when nothing or nonsense answers.
absl::StatusOr<HttpAnswer> http_request(const std::string& address, const std::string& verb,
                                        const std::string& target, const std::string& body = "");

}  // namespace keelson::harness
