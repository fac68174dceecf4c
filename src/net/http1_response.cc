#include "net/http1_response.h"

#include <boost/asio/buffer.hpp>

#include "absl/strings/match.h"
#include "base/check.h"
#include "base/text.h"
#include "net/http1_parser.h"

namespace keelson::net {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

namespace {

constexpr int kMostInformational = 5;  // Go's

absl::Status malformed(std::string_view why) {
  return absl::UnavailableError(cat("malformed HTTP response: ", why));
}

bool is_named(const HttpField& field, std::string_view name) {
  return absl::EqualsIgnoreCase(to_absl(field.name), to_absl(name));
}

}  // namespace

std::string_view HttpResponseHead::field(std::string_view name) const {
  for (const HttpField& field : fields) {
    if (is_named(field, name)) return field.value;
  }
  return {};
}

class Http1Response::Parser final : public Http1Parser<false> {
 public:
  Parser(size_t head_limit, bool to_head) : Http1Parser(head_limit) { this->skip(to_head); }
  HttpResponseHead head;
  int version = 11;
  bool in_head = true;  // fields that come later are trailers, which nobody asked for

 private:
  void on_response_impl(int status, Text, int v, Error& ec) override {
    head.status = status;
    version = v;
    ec = {};
  }
  void on_field_impl(bhttp::field, Text name, Text value, Error& ec) override {
    if (in_head) head.fields.push_back({str(name), str(value)});
    ec = {};
  }
  void on_header_impl(Error& ec) override {
    in_head = false;
    ec = {};
  }
};

Http1Response::Http1Response(size_t max_head_bytes, bool to_head)
    : max_head_bytes_(max_head_bytes),
      to_head_(to_head),
      parser_(std::make_unique<Parser>(max_head_bytes, to_head)) {}

Http1Response::~Http1Response() = default;

bool Http1Response::complete() const { return head_complete_ && parser_->is_done(); }
bool Http1Response::keeps_alive() const { return parser_->keep_alive(); }
std::string& Http1Response::body() { return parser_->body; }

absl::Status Http1Response::take(std::string_view* input) {
  while (!input->empty() && !complete()) {
    const size_t before = input->size();
    const bool had_head = parser_->is_header_done();
    if (absl::Status s = step(input); !s.ok()) return s;
    if (input->size() == before && had_head == parser_->is_header_done()) break;
  }
  if (!complete() && input->size() > max_head_bytes_) return malformed("it does not end");
  return absl::OkStatus();
}

absl::Status Http1Response::step(std::string_view* input) {
  began_ = true;
  beast::error_code ec;
  const size_t used = parser_->put(boost::asio::const_buffer(input->data(), input->size()), ec);
  CHECK(used <= input->size());
  input->remove_prefix(used);
  if (ec && ec != bhttp::error::need_more) return malformed(ec.message());
  if (!head_complete_ && parser_->is_header_done()) return head_arrived();
  return absl::OkStatus();
}

absl::Status Http1Response::head_arrived() {
  HttpResponseHead& head = parser_->head;
  if (parser_->version != 10 && parser_->version != 11) return malformed("unsupported version");
  if (head.status < 100) return malformed("status");
  int codings = 0, lengths = 0;
  for (const HttpField& field : head.fields) {
    if (is_named(field, "Content-Length")) ++lengths;
    if (!is_named(field, "Transfer-Encoding")) continue;
    ++codings;
    if (parser_->version < 11 || !absl::EqualsIgnoreCase(to_absl(field.value), "chunked")) {
      return malformed(cat("unsupported transfer encoding: ", field.value));
    }
  }
  if (codings > 1 || (codings == 1 && lengths > 0)) return malformed("its length is said twice");
  if (head.status == 101) return malformed("it changes a protocol that was not asked to change");
  if (head.status < 200) {
    if (++informational_ > kMostInformational) {
      return malformed("too many 1xx informational responses");
    }
    parser_ = std::make_unique<Parser>(max_head_bytes_, to_head_);
    return absl::OkStatus();
  }
  head_ = std::move(head);
  head_complete_ = true;
  return absl::OkStatus();
}

absl::Status Http1Response::end_of_input() {
  if (complete()) return absl::OkStatus();
  if (!began_) return absl::UnavailableError("EOF");
  beast::error_code ec;
  // An answer of class 1xx, and nothing behind it.
  if (!parser_->got_some()) return absl::UnavailableError("unexpected EOF");
  parser_->put_eof(ec);
  if (ec || !parser_->is_done()) return absl::UnavailableError("unexpected EOF");
  return absl::OkStatus();
}

}  // namespace keelson::net
