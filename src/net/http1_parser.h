// net/http1_parser.h
//
// What the two users of Beast's parser have in common: nothing is done that is not said, and the
// bytes of the body, in chunks or not, gather until somebody takes them.
//
// Threads: one. Include from a .cc that is compiled without Boost's assertions (CMakeLists.txt).

#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <string>

namespace keelson::net {

template <bool kIsRequest>
class Http1Parser : public boost::beast::http::basic_parser<kIsRequest> {
 public:
  std::string body;

 protected:
  using Text = boost::beast::string_view;
  using Error = boost::beast::error_code;

  explicit Http1Parser(size_t header_limit) {
    this->header_limit(static_cast<uint32_t>(header_limit));
    this->body_limit(boost::none);
    this->eager(false);
  }
  static std::string str(Text t) { return {t.data(), t.size()}; }

  void on_request_impl(boost::beast::http::verb, Text, Text, int, Error& ec) override { ec = {}; }
  void on_response_impl(int, Text, int, Error& ec) override { ec = {}; }
  void on_header_impl(Error& ec) override { ec = {}; }
  void on_body_init_impl(boost::optional<uint64_t> const&, Error& ec) override { ec = {}; }
  size_t on_body_impl(Text text, Error& ec) override {
    body.append(text.data(), text.size());
    ec = {};
    return text.size();
  }
  void on_chunk_header_impl(uint64_t, Text, Error& ec) override { ec = {}; }
  size_t on_chunk_body_impl(uint64_t, Text text, Error& ec) override {
    return on_body_impl(text, ec);
  }
  void on_finish_impl(Error& ec) override { ec = {}; }
};

}  // namespace keelson::net
