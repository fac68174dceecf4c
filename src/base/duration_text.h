// base/duration_text.h
//
// A duration for a log line: "12.345ms", which Go's parser reads too.

#pragma once

#include <cmath>
#include <string>

#include "base/clock.h"
#include "base/text.h"

namespace keelson {

inline std::string milliseconds_text(Duration duration) {
  return cat(std::round(static_cast<double>(duration.count()) / 1e3) / 1e3, "ms");
}

}  // namespace keelson
