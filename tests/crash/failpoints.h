// tests/crash/failpoints.h
//
// The places at which the server is made to die (docs/failpoints.md), and how often each is passed
// under this test's load.

#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace keelson::crash {

struct Failpoint {
  std::string_view name;
  uint64_t latest_hit;         // crash@N with N from 1 to this
  bool when_stopping = false;  // passed in an orderly stop only
};

std::span<const Failpoint> failpoints();

// Makes segments, write buffers and marks so small that a second of load passes all of them.
std::span<const std::string_view> flags_for_failpoints();

}  // namespace keelson::crash
