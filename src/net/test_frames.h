// net/test_frames.h
//
// HTTP/2 by hand, for tests of what no library would send.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/endian.h"
#include "net/http2_frames.h"

namespace keelson::net::test {

inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = big32(static_cast<uint32_t>(payload.size())).substr(1);
  out += {static_cast<char>(type), static_cast<char>(flags)};
  return out.append(big32(stream)).append(payload);
}

inline std::string setting(uint16_t id, uint32_t value) {
  return big32(id).substr(2) + big32(value);
}

// What a client begins with.
inline std::string beginning(std::string_view settings = "") {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, settings);
}

// A field that is not kept, spelled out; both parts shorter than 127 bytes.
inline std::string literal(std::string_view name, std::string_view value) {
  CHECK(name.size() < 127 && value.size() < 127);
  std::string out{'\0', static_cast<char>(name.size())};
  out.append(name).push_back(static_cast<char>(value.size()));
  return out.append(value);
}

// The head of a call, in a block that changes nothing.
inline std::string call_block(std::string_view path) {
  return "\x83\x86" + literal(":path", path) + literal("content-type", "application/grpc");
}

struct Frame {
  size_t length;
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
};

// Takes the frames off `bytes` that are complete.
inline std::vector<Frame> take_frames(std::string* bytes) {
  std::vector<Frame> out;
  size_t at = 0;
  while (bytes->size() - at >= kFrameHead) {
    const char* head = bytes->data() + at;
    const size_t length = load_big32(head) >> 8;
    if (bytes->size() - at < kFrameHead + length) break;
    out.push_back({length, static_cast<uint8_t>(head[3]), static_cast<uint8_t>(head[4]),
                   load_big32(head + 5), bytes->substr(at + kFrameHead, length)});
    at += kFrameHead + length;
  }
  bytes->erase(0, at);
  return out;
}

}  // namespace keelson::net::test
