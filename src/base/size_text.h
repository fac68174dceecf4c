// base/size_text.h
//
// A size for a log line, as etcd writes it: "25 kB", "8.6 GB"; in thousands, a digit after the
// point below ten.

#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "base/text.h"

namespace keelson {

inline std::string size_text(uint64_t bytes) {
  static constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 10) return cat(bytes, " B");
  size_t unit = 0;
  double value = static_cast<double>(bytes);
  for (; value >= 1000; value /= 1000) ++unit;
  value = std::floor(value * 10 + 0.5) / 10;
  std::array<char, 16> number;
  std::snprintf(number.data(), number.size(), value < 10 ? "%.1f" : "%.0f", value);
  return cat(std::string_view(number.data()), " ", kUnits.at(unit));
}

}  // namespace keelson
