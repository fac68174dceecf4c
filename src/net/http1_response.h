// net/http1_response.h
//
// Http1Response reads one answer of an HTTP/1 server: Beast parses, and this holds what Beast
// leaves open: how long a head, a chunk's line or trailers may be, how many answers of class 1xx
// may come first, and that the length of the body is said in one way only. Knows nothing of
// sockets.
//
// Threads: one. Bounds: what take() leaves is never more than the limit on heads; body() holds what
//   one take() brought until its caller takes it.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "net/http.h"

namespace keelson::net {

struct HttpResponseHead {
  int status = 0;
  std::vector<HttpField> fields;

  // The first field of this name, whatever its case; empty if there is none.
  std::string_view field(std::string_view name) const;
};

class Http1Response {
 public:
  // `to_head`: the request was HEAD, so no body follows whatever the head says.
  Http1Response(size_t max_head_bytes, bool to_head);
  ~Http1Response();

  // Takes from the front of `*input` as much as belongs to this answer and can be told now.
  // Errors: Unavailable, beginning "malformed HTTP response"; the connection is of no use any more.
  absl::Status take(std::string_view* input);
  // The server says no more. Errors: Unavailable "unexpected EOF" in the middle of the answer,
  // "EOF" before it.
  absl::Status end_of_input();

  bool head_complete() const { return head_complete_; }
  HttpResponseHead& head() { return head_; }  // REQUIRES: head_complete()
  bool complete() const;
  // The connection can carry another request. REQUIRES: complete().
  bool keeps_alive() const;

  // The body's bytes since the caller last emptied it.
  std::string& body();

 private:
  class Parser;

  absl::Status step(std::string_view* input);
  absl::Status head_arrived();

  const size_t max_head_bytes_;
  const bool to_head_;
  std::unique_ptr<Parser> parser_;
  HttpResponseHead head_;
  bool head_complete_ = false;
  bool began_ = false;
  int informational_ = 0;  // answers of class 1xx so far
};

}  // namespace keelson::net
