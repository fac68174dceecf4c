#include "ctl/memory_metric.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <charconv>

#include "base/text.h"

namespace keelson::ctl {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

constexpr std::chrono::seconds kDeadline{10};
constexpr uint64_t kLargestPage = 64 << 20;
constexpr std::string_view kMetric = "process_resident_memory_bytes";

absl::Status fetch_error(const error_code& error) {
  return absl::UnavailableError(cat("fetch error: ", error.message()));
}

struct Url {
  bool secure = false;
  std::string host, port;
};

Url parse(std::string_view endpoint) {
  Url url;
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!endpoint.starts_with(scheme)) continue;
    endpoint.remove_prefix(scheme.size());
    url.secure = scheme == "https://";
  }
  endpoint = endpoint.substr(0, endpoint.find('/'));
  const size_t colon = endpoint.rfind(':');
  url.host = endpoint.substr(0, colon);
  url.port = colon == std::string_view::npos ? (url.secure ? "443" : "80")
                                             : std::string(endpoint.substr(colon + 1));
  if (url.host.size() > 2 && url.host.front() == '[' && url.host.back() == ']') {
    url.host = url.host.substr(1, url.host.size() - 2);
  }
  return url;
}

// Runs what was started on `context` until `finished`; the stream's expiry bounds it.
template <typename Start>
error_code await(asio::io_context& context, Start&& start) {
  error_code result;
  start([&](error_code error, auto&&...) { result = error; });
  context.restart();
  context.run();
  return result;
}

template <typename Stream>
absl::StatusOr<std::string> get_page(asio::io_context& context, Stream& stream, const Url& url) {
  http::request<http::empty_body> request(http::verb::get, "/metrics", 11);
  request.set(http::field::host, cat(url.host, ":", url.port));
  if (error_code error =
          await(context, [&](auto done) { http::async_write(stream, request, done); });
      error) {
    return fetch_error(error);
  }
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestPage);
  if (error_code error =
          await(context, [&](auto done) { http::async_read(stream, buffer, parser, done); });
      error) {
    return fetch_error(error);
  }
  return parser.release().body();
}

absl::StatusOr<std::string> fetch(const Url& url, const TlsFiles& files) {
  asio::io_context context;
  error_code error;
  asio::ip::tcp::resolver resolver(context);
  const auto addresses = resolver.resolve(url.host, url.port, error);
  if (error) return fetch_error(error);
  asio::ssl::context tls(asio::ssl::context::tls_client);
  beast::ssl_stream<beast::tcp_stream> stream(context, tls);
  beast::tcp_stream& socket = beast::get_lowest_layer(stream);
  socket.expires_after(kDeadline);
  error = await(context, [&](auto done) { socket.async_connect(addresses, done); });
  if (error) return fetch_error(error);
  if (!url.secure) return get_page(context, socket, url);

  if (!files.cert.empty()) {
    tls.use_certificate_chain_file(files.cert, error);
    if (!error) tls.use_private_key_file(files.key, asio::ssl::context::pem, error);
    if (error)
      return absl::InvalidArgumentError(cat("client certificate error: ", error.message()));
  }
  if (!files.cacert.empty()) tls.load_verify_file(files.cacert, error);
  if (error) return fetch_error(error);
  beast::ssl_stream<beast::tcp_stream> secure(std::move(socket), tls);
  if (!files.skip_verify) {
    secure.set_verify_mode(asio::ssl::verify_peer);
    secure.set_verify_callback(asio::ssl::host_name_verification(url.host));
  }
  error = await(context,
                [&](auto done) { secure.async_handshake(asio::ssl::stream_base::client, done); });
  if (error) return fetch_error(error);
  return get_page(context, secure, url);
}

}  // namespace

absl::StatusOr<double> resident_memory(const std::string& endpoint, const TlsFiles& tls) {
  auto page = fetch(parse(endpoint), tls);
  if (!page.ok()) return page.status();
  const std::string head = cat("\n", kMetric, " ");
  const size_t at = page->find(head);
  if (at == std::string::npos) return absl::NotFoundError(cat("could not find: ", kMetric));
  const char* first = page->data() + at + head.size();
  double bytes = 0;
  const auto [end, error] = std::from_chars(first, page->data() + page->size(), bytes);
  if (error != std::errc()) return absl::DataLossError(cat("parse error: ", kMetric));
  return bytes;
}

}  // namespace keelson::ctl
