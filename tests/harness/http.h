// tests/harness/http.h
//
// One HTTP/1.1 request, for the side of probes, scrapers and users of the JSON gateway. Blocking.
// Under TLS when tests/harness/tls.h says so.

#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::harness {

struct HttpAnswer {
  int code = 0;
  std::string content_type;
  std::string body;
  std::map<std::string, std::string> fields;  // names in lower case
};

struct HttpQuestion {
  std::string verb = "GET";
  std::string target;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  // Takes no more than so many lines of the answer, and goes; 0: all of it.
  size_t lines = 0;
};

// `address` is "127.0.0.1:port". Unavailable when nothing or nonsense answers.
absl::StatusOr<HttpAnswer> http_request(const std::string& address, const HttpQuestion& question);
absl::StatusOr<HttpAnswer> http_request(const std::string& address, const std::string& verb,
                                        const std::string& target, const std::string& body = "");

}  // namespace keelson::harness
