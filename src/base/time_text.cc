#include "base/time_text.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "base/text.h"

namespace keelson {
namespace {

// `nanoseconds` in units of `unit`, without trailing zeros.
std::string decimal_text(uint64_t nanoseconds, uint64_t unit, std::string_view suffix) {
  std::string text = cat(nanoseconds / unit);
  if (uint64_t rest = nanoseconds % unit; rest != 0) {
    std::string digits = cat(unit + rest).substr(1);
    while (digits.back() == '0') digits.pop_back();
    text += "." + digits;
  }
  return text.append(suffix);
}

}  // namespace

std::string duration_text(Duration duration) {
  if (duration == Duration(0)) return "0s";
  std::string out = duration < Duration(0) ? "-" : "";
  const auto count = static_cast<uint64_t>(duration.count());
  const uint64_t left = duration < Duration(0) ? ~count + 1 : count;
  if (left < 1'000) return out + decimal_text(left, 1, "ns");
  if (left < 1'000'000) return out + decimal_text(left, 1'000, "\u00b5s");
  if (left < 1'000'000'000) return out + decimal_text(left, 1'000'000, "ms");
  const uint64_t minutes = left / 60'000'000'000;
  if (minutes >= 60) out += cat(minutes / 60, "h");
  if (minutes > 0) out += cat(minutes % 60, "m");
  return out + decimal_text(left % 60'000'000'000, 1'000'000'000, "s");
}

std::string timestamp_text(Duration unix_time) {
  constexpr int64_t kSecond = 1'000'000'000;
  const auto seconds = static_cast<time_t>(unix_time.count() / kSecond);
  const auto micros = static_cast<int>(unix_time.count() % kSecond / 1000);
  std::tm local{};
  localtime_r(&seconds, &local);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06d", local.tm_year + 1900,
                local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, micros);
  std::string out = text;
  if (local.tm_gmtoff == 0) return out + "Z";
  const long minutes = std::labs(local.tm_gmtoff) / 60;
  std::snprintf(text, sizeof text, "%c%02ld%02ld", local.tm_gmtoff < 0 ? '-' : '+', minutes / 60,
                minutes % 60);
  return out + text;
}

}  // namespace keelson
