#include "tests/harness/http.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/ascii.h"
#include "base/text.h"
#include "tests/harness/tls.h"

namespace keelson::harness {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

size_t lines_of(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

template <typename Stream>
absl::StatusOr<HttpAnswer> exchange(Stream& stream, const std::string& address,
                                    const HttpQuestion& question) {
  boost::system::error_code error;
  http::request<http::string_body> request(http::string_to_verb(question.verb), question.target,
                                           11);
  request.set(http::field::host, address);
  request.set(http::field::connection, "close");
  for (const auto& [name, value] : question.fields) request.set(name, value);
  request.body() = question.body;
  if (!question.body.empty() || question.verb == "POST") request.prepare_payload();
  http::write(stream, request, error);
  if (error) return absl::UnavailableError(error.message());
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(64u << 20);
  while (!parser.is_done() &&
         (question.lines == 0 || lines_of(parser.get().body()) < question.lines)) {
    http::read_some(stream, buffer, parser, error);
    if (error) return absl::UnavailableError(error.message());
  }
  const auto& answer = parser.get();
  const auto type = answer[http::field::content_type];
  HttpAnswer out{static_cast<int>(answer.result_int()),
                 std::string(type.data(), type.size()),
                 answer.body(),
                 {}};
  for (const auto& field : answer) {
    const auto name = field.name_string();
    const auto value = field.value();
    out.fields[absl::AsciiStrToLower(absl::string_view(name.data(), name.size()))] =
        std::string(value.data(), value.size());
  }
  return out;
}

}  // namespace

absl::StatusOr<HttpAnswer> http_request(const std::string& address, const std::string& verb,
                                        const std::string& target, const std::string& body) {
  return http_request(address, {.verb = verb, .target = target, .body = body});
}

absl::StatusOr<HttpAnswer> http_request(const std::string& address, const HttpQuestion& question) {
  boost::system::error_code error;
  asio::io_context context;
  asio::ip::tcp::socket socket(context);
  const size_t colon = address.rfind(':');
  socket.connect({asio::ip::make_address(address.substr(0, colon), error),
                  static_cast<uint16_t>(std::stoi(address.substr(colon + 1)))},
                 error);
  if (error) return absl::UnavailableError(error.message());
  const TestTls* tls = test_tls();
  if (tls == nullptr) return exchange(socket, address, question);
  asio::ssl::context trusting(asio::ssl::context::tls_client);
  trusting.load_verify_file(tls->certificate, error);
  if (error) return absl::InternalError(error.message());
  trusting.set_verify_mode(asio::ssl::verify_peer);
  asio::ssl::stream<asio::ip::tcp::socket&> secured(socket, trusting);
  secured.handshake(asio::ssl::stream_base::client, error);
  if (error) return absl::UnavailableError(error.message());
  return exchange(secured, address, question);
}

}  // namespace keelson::harness
