#include "backend/rocks/info_log.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "base/log.h"

namespace keelson::backend::rocks {
namespace {

constexpr size_t kLongestLine = 512;  // the rest of a line is cut off

}  // namespace

void InfoLog::Logv(const char* format, va_list arguments) {
  std::array<char, kLongestLine> line;
  if (std::vsnprintf(line.data(), line.size(), format, arguments) < 0) return;
  log::warn("backend: rocksdb", {{"message", std::string_view(line.data())}});
}

void InfoLog::Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) {
  const bool matters =
      level >= rocksdb::InfoLogLevel::WARN_LEVEL && level != rocksdb::InfoLogLevel::HEADER_LEVEL;
  // A table that is loaded has its number only then.
  const bool loads = std::string_view(format).find("without unique ID") != std::string_view::npos;
  if (matters && !loads) Logv(format, arguments);
}

}  // namespace keelson::backend::rocks
