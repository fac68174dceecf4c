#include "tests/attack/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace keelson::attack {
namespace {

void literal(std::string* out, std::string_view text) {
  // Lengths below 127 take one byte; nothing here is longer.
  out->push_back(static_cast<char>(text.size()));
  out->append(text);
}

}  // namespace

std::string frame(Frame type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = big32(static_cast<uint32_t>(payload.size())).substr(1);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  out += big32(stream);
  out.append(payload);
  return out;
}

std::string header_block(std::string_view path, std::string_view content_type) {
  std::string out = "\x83\x86";  // :method POST, :scheme http
  out += '\x04';                 // :path
  literal(&out, path);
  out += '\x01';  // :authority
  literal(&out, "attack");
  out += "\x0f\x10";  // content-type
  literal(&out, content_type);
  out += std::string(1, '\0');
  literal(&out, "te");
  literal(&out, "trailers");
  return out;
}

std::string grpc_message(std::string_view body) {
  return std::string(1, '\0') + big32(static_cast<uint32_t>(body.size())) + std::string(body);
}

std::string unary_call(uint32_t stream, std::string_view path, std::string_view body) {
  return frame(Frame::kHeaders, kEndHeaders, stream, header_block(path)) +
         frame(Frame::kData, kEndStream, stream, grpc_message(body));
}

RawClient::RawClient(const std::string& address, Reading reading, uint32_t window)
    : window_(window) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    close(fd_);
    fd_ = -1;
    return;
  }
  if (reading == Reading::kYes) reader_ = std::thread([this] { drain(); });
}

void RawClient::cut() {
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
}

RawClient::~RawClient() {
  cut();
  if (reader_.joinable()) reader_.join();
  if (fd_ >= 0) close(fd_);
}

void RawClient::drain() {
  std::string buffer(256 << 10, '\0');
  while (true) {
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n <= 0) return;
    received_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
  }
}

bool RawClient::hello() {
  std::string settings = std::string("\0\4", 2) + big32(window_);
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(Frame::kSettings, 0, 0, settings) +
                      frame(Frame::kSettings, kAck, 0, "");
  if (window_ > 65535) bytes += frame(Frame::kWindowUpdate, 0, 0, big32(window_ - 65535));
  return send(bytes);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    if (fd_ < 0) return false;
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void RawClient::send_some(std::string_view bytes) {
  if (stuck_ || fd_ < 0) return;
  const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  stuck_ = n != static_cast<ssize_t>(bytes.size());
}

}  // namespace keelson::attack
