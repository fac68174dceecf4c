// net/http1_framing.h
//
// What the head of an HTTP/1 request must be before anything is believed of it: where its body
// ends, which host and path it is for. Beast parses; it is more lenient than Go's server in places
// where leniency lets two parsers disagree (request smuggling).
//
// Source: RFC 9112, sections 3.2 and 6; codes and texts as Go's net/http answers behind etcd.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace keelson::net {

struct Refusal {
  int status = 400;
  std::string_view detail;  // after "400 Bad Request"; may be empty
  std::string_view body;    // instead of the status; may be empty
};

// Checks `request` and brings its target into the form "/path?query", with the host of an absolute
// target in place of the field's ("*" stays, and the path of a URL that has none is empty).
// `version` is 10 or 11.
std::optional<Refusal> settle_head(HttpRequest* request, int version);

}  // namespace keelson::net
