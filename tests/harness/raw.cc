#include "tests/harness/raw.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/endian.h"

namespace keelson::harness {
namespace {

using std::chrono::steady_clock;

// The socket, connected, or -1.
int connect_to(const std::string& address, int receive_buffer) {
  const bool is_unix = address.starts_with("unix:");
  const int fd = ::socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (receive_buffer > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  }
  sockaddr_un un{};
  sockaddr_in in{};
  int result = -1;
  if (is_unix) {
    un.sun_family = AF_UNIX;
    std::strncpy(un.sun_path, address.c_str() + 5, sizeof(un.sun_path) - 1);
    result = ::connect(fd, reinterpret_cast<sockaddr*>(&un), sizeof(un));
  } else {
    const size_t colon = address.rfind(':');
    in.sin_family = AF_INET;
    in.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &in.sin_addr);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    result = ::connect(fd, reinterpret_cast<sockaddr*>(&in), sizeof(in));
  }
  if (result == 0) return fd;
  ::close(fd);
  return -1;
}

bool wait_for(int fd, short events, steady_clock::time_point until) {
  const auto left =
      std::chrono::duration_cast<RawConnection::Milliseconds>(until - steady_clock::now()).count();
  pollfd one{fd, events, 0};
  return ::poll(&one, 1, left > 0 ? static_cast<int>(left) : 0) > 0;
}

}  // namespace

RawConnection::RawConnection(const std::string& address, int receive_buffer)
    : fd_(connect_to(address, receive_buffer)) {}

RawConnection::~RawConnection() { close(); }

bool RawConnection::send(std::string_view bytes, Milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  while (!bytes.empty() && fd_ >= 0) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EAGAIN || !wait_for(fd_, POLLOUT, until)) {
      return false;
    }
  }
  return bytes.empty();
}

void RawConnection::half_close() { ::shutdown(fd_, SHUT_WR); }

void RawConnection::cut() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

void RawConnection::reset() {
  const linger hard{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close();
}

void RawConnection::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::string RawConnection::receive(Milliseconds patience) {
  std::string out(64 << 10, '\0');
  if (fd_ < 0 || ended_ || !wait_for(fd_, POLLIN, steady_clock::now() + patience)) return "";
  const ssize_t n = ::recv(fd_, out.data(), out.size(), 0);
  if (n <= 0) ended_ = true;
  out.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return out;
}

std::string RawConnection::receive_until(std::string_view mark, Milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  std::string out;
  while (out.find(mark) == std::string::npos && !ended_ && steady_clock::now() < until) {
    out += receive(std::chrono::duration_cast<Milliseconds>(until - steady_clock::now()));
  }
  return out;
}

std::optional<std::string> RawConnection::receive_all(Milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  std::string out;
  while (!ended_ && steady_clock::now() < until) {
    out += receive(std::chrono::duration_cast<Milliseconds>(until - steady_clock::now()));
  }
  if (!ended_) return std::nullopt;
  return out;
}

namespace h2 {
namespace {

// The last `bytes` of it, big-endian.
void append_big(std::string* out, uint32_t value, int bytes) {
  out->append(big32(value), static_cast<size_t>(4 - bytes));
}

// HPACK's integer with a prefix of seven bits (RFC 7541, 5.1).
void append_length(std::string* out, size_t value) {
  if (value < 127) return out->push_back(static_cast<char>(value));
  out->push_back(127);
  for (value -= 127; value >= 128; value >>= 7) {
    out->push_back(static_cast<char>(0x80 | (value & 0x7f)));
  }
  out->push_back(static_cast<char>(value));
}

constexpr size_t kLargestFrame = 16384;

}  // namespace

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  append_big(&out, static_cast<uint32_t>(payload.size()), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  append_big(&out, stream, 4);
  return out.append(payload);
}

std::string preface() { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, ""); }

std::string window_update(uint32_t stream, uint32_t by) {
  std::string payload;
  append_big(&payload, by, 4);
  return frame(kWindowUpdate, 0, stream, payload);
}

std::string setting(uint16_t id, uint32_t value) {
  std::string payload;
  append_big(&payload, id, 2);
  append_big(&payload, value, 4);
  return frame(kSettings, 0, 0, payload);
}

std::string block(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out.push_back('\0');
    append_length(&out, name.size());
    out += name;
    append_length(&out, value.size());
    out += value;
  }
  return out;
}

std::string headers(uint32_t stream, std::string_view block, bool end_stream) {
  std::string out;
  uint8_t type = kHeaders;
  uint8_t flags = end_stream ? kEndStream : 0;
  do {
    const std::string_view piece = block.substr(0, kLargestFrame);
    block.remove_prefix(piece.size());
    if (block.empty()) flags |= kEndHeaders;
    out += frame(type, flags, stream, piece);
    type = kContinuation;
    flags = 0;
  } while (!block.empty());
  return out;
}

Fields grpc_request(std::string_view path, const Fields& more) {
  Fields fields = {{":method", "POST"},
                   {":scheme", "http"},
                   {":path", std::string(path)},
                   {":authority", "test"},
                   {"content-type", "application/grpc"},
                   {"te", "trailers"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

std::string message(std::string_view message) {
  std::string out(1, '\0');
  append_big(&out, static_cast<uint32_t>(message.size()), 4);
  return out.append(message);
}

std::string unary_call(uint32_t stream, std::string_view path, std::string_view body) {
  return headers(stream, block(grpc_request(path)), false) +
         frame(kData, kEndStream, stream, message(body));
}

std::optional<Frame> take_frame(std::string* bytes) {
  if (bytes->size() < 9) return std::nullopt;
  const uint32_t head = load_big32(bytes->data());  // 24 bits of length, 8 of type
  const size_t size = head >> 8;
  if (bytes->size() < 9 + size) return std::nullopt;
  Frame out{static_cast<uint8_t>(head), static_cast<uint8_t>((*bytes)[4]),
            load_big32(bytes->data() + 5) & 0x7fffffff, bytes->substr(9, size)};
  bytes->erase(0, 9 + size);
  return out;
}

}  // namespace h2
}  // namespace keelson::harness
