// net/http2_frames.h
//
// The numbers of HTTP/2's frames, as Http2Framing reads and writes them.
//
// Source: RFC 9113, sections 4, 6 and 6.5.2; RFC 9218, 2.1.

#pragma once

#include <cstddef>
#include <cstdint>

namespace keelson::net {

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

enum FrameFlag : uint8_t {
  kEndStream = 0x1,
  kAck = 0x1,
  kEndHeaders = 0x4,
  kPadded = 0x8,
  kHasPriority = 0x20,
};

enum Setting : uint16_t {
  kHeaderTableSize = 1,
  kEnablePush = 2,
  kMaxConcurrentStreams = 3,
  kInitialWindowSize = 4,
  kMaxFrameSize = 5,
  kMaxHeaderListSize = 6,
  kNoRfc7540Priorities = 9,
};

inline constexpr size_t kFrameHead = 9;
inline constexpr uint32_t kLongestFrame = 16384;  // that must be taken, and that we take
inline constexpr uint32_t kUsualWindow = 65535;

// Resets by the client that are taken at once.
inline constexpr double kResetBurst = 20000;

}  // namespace keelson::net
