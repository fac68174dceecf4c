// tests/harness/raw.h
//
// A client that is not polite: one socket, bytes as they are given, and HTTP/2 frames built by
// hand, so that a test can say what no library would.
//
// Threads: one that sends and one that receives, per connection. Errors: a connection that breaks
// reads as ended and writes nothing.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keelson::harness {

class RawConnection {
 public:
  using Milliseconds = std::chrono::milliseconds;

  // "127.0.0.1:port" or "unix:/path". `receive_buffer` (0: the system's) makes a client that takes
  // little.
  explicit RawConnection(const std::string& address, int receive_buffer = 0);
  ~RawConnection();
  RawConnection(RawConnection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool connected() const { return fd_ >= 0; }
  // Waits for room in the socket, at most `patience`; false when not everything was taken.
  bool send(std::string_view bytes, Milliseconds patience = Milliseconds(10000));
  void half_close();
  // Both ways, under whoever sends or receives. Any thread.
  void cut();
  // By a reset instead of an end.
  void reset();
  void close();

  // What has come within `patience`; empty: nothing, or the end (then ended()).
  std::string receive(Milliseconds patience);
  // Up to `mark`, or the end, or `patience`.
  std::string receive_until(std::string_view mark, Milliseconds patience = Milliseconds(10000));
  // Up to the end; nothing when it did not come within `patience`.
  std::optional<std::string> receive_all(Milliseconds patience = Milliseconds(10000));
  bool ended() const { return ended_; }

 private:
  int fd_ = -1;
  bool ended_ = false;
};

// HTTP/2, as bytes.
namespace h2 {

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
enum Flag : uint8_t { kEndStream = 1, kAck = 1, kEndHeaders = 4 };

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};

// The client's preface and empty SETTINGS.
std::string preface();
std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
std::string window_update(uint32_t stream, uint32_t by);
// SETTINGS with one entry.
std::string setting(uint16_t id, uint32_t value);
// A header block of literals that are neither indexed nor Huffman-coded.
std::string block(const Fields& fields);
// HEADERS, and as many CONTINUATIONs of 16 KB as the block takes.
std::string headers(uint32_t stream, std::string_view block, bool end_stream);
// The fields of a gRPC request, then `more`.
Fields grpc_request(std::string_view path, const Fields& more = {});
// A whole unary call: headers, one message, the end.
std::string unary_call(uint32_t stream, std::string_view path, std::string_view message);
// A gRPC message: its five bytes, then `message`.
std::string message(std::string_view message);

// Takes one whole frame off the front of `bytes`, if it is there.
std::optional<Frame> take_frame(std::string* bytes);

}  // namespace h2
}  // namespace keelson::harness
