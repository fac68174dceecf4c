// tests/attack/raw_client.h
//
// RawClient speaks HTTP/2 by hand, so that it can say what no library would: any frame, in any
// number, in any order. What the server says is read and thrown away by a thread of its own, or not
// read at all.
//
// Threads: one caller; the reading thread is inside. Lifetime: closing ends the reader.
// Errors: a connection that the server ended makes send() false; nothing else is reported.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "base/endian.h"

namespace keelson::attack {

enum class Frame : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
inline constexpr uint8_t kEndStream = 1;
inline constexpr uint8_t kAck = 1;
inline constexpr uint8_t kEndHeaders = 4;

std::string frame(Frame type, uint8_t flags, uint32_t stream, std::string_view payload);
// A request's header block, nothing of it indexed.
std::string header_block(std::string_view path, std::string_view content_type = "application/grpc");
// The message behind gRPC's five bytes.
std::string grpc_message(std::string_view body);
// HEADERS and DATA of one whole unary call.
std::string unary_call(uint32_t stream, std::string_view path, std::string_view body);

class RawClient {
 public:
  enum class Reading { kYes, kNo };

  // `address` is "127.0.0.1:port". `window`: what each stream, and the connection, may be sent.
  RawClient(const std::string& address, Reading reading, uint32_t window = 65535);
  ~RawClient();
  RawClient(const RawClient&) = delete;

  // Nothing of HTTP/2 is said before hello(): an HTTP/1 client never says it.
  bool hello();
  // All of it, however long that takes. False: the connection has ended.
  bool send(std::string_view bytes);
  // As far as there is room in the socket; a piece that does not fit is not finished.
  void send_some(std::string_view bytes);
  // Ends the connection under a send() that waits. Any thread.
  void cut();
  uint64_t received() const { return received_.load(std::memory_order_relaxed); }

 private:
  void drain();

  int fd_ = -1;
  bool stuck_ = false;  // of send_some()
  const uint32_t window_;
  std::atomic<uint64_t> received_{0};
  std::thread reader_;
};

}  // namespace keelson::attack
