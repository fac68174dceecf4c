// tests/attack/raw_client.h
//
// RawClient speaks HTTP/2 by hand (tests/harness/raw.h) without waiting for anything: what the
// server says is read and thrown away by a thread of its own, or not read at all.
//
// Threads: one caller; the reading thread is inside. Lifetime: closing ends the reader.
// Errors: a connection that the server ended makes send() false; nothing else is reported.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "tests/harness/raw.h"

namespace keelson::attack {

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
  // As far as there is room in the socket; once something did not fit, nothing more is sent.
  void send_some(std::string_view bytes);
  // Ends the connection under a send() that waits. Any thread.
  void cut() { connection_.cut(); }

 private:
  harness::RawConnection connection_;
  const uint32_t window_;
  bool stuck_ = false;  // of send_some()
  std::thread reader_;
};

}  // namespace keelson::attack
