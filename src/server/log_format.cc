#include "server/log_format.h"

#include <cctype>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace keelson::server {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Numbers, truth values and lists. Not-a-number and infinity print as words that JSON does not
// have.
bool is_bare_json(std::string_view value) {
  return value == "true" || value == "false" || (value.starts_with('[') && value.ends_with(']')) ||
         (!value.empty() && std::isdigit(static_cast<unsigned char>(value.back())));
}

void append_fields(std::string& out, log::Fields fields, bool first) {
  for (const log::Field& field : fields) {
    if (!first) out += ',';
    first = false;
    append_quoted(out, field.key);
    out += ':';
    if (!field.quoted && is_bare_json(field.value)) {
      out += field.value;
    } else {
      append_quoted(out, field.value);
    }
  }
}

// "mvcc/index.cc:17" of "/src/keelson/src/mvcc/index.cc".
std::string caller_text(const LogRecord& record) {
  std::string_view file = record.file;
  const size_t name = file.rfind('/');
  if (name != std::string_view::npos && name > 0) {
    const size_t dir = file.rfind('/', name - 1);
    if (dir != std::string_view::npos) file.remove_prefix(dir + 1);
  }
  return cat(file, ":", record.line);
}

}  // namespace

std::string_view level_text(log::Level level) {
  switch (level) {
    case log::Level::kDebug:
      return "debug";
    case log::Level::kInfo:
      return "info";
    case log::Level::kWarn:
      return "warn";
    case log::Level::kError:
      return "error";
    case log::Level::kPanic:
      return "panic";
    case log::Level::kFatal:
      return "fatal";
  }
  return "error";
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

std::string json_line(const LogRecord& record, log::Fields fields) {
  std::string out = cat("{\"level\":\"", level_text(record.level), "\",\"ts\":\"",
                        timestamp_text(record.unix_time), "\",\"caller\":");
  append_quoted(out, caller_text(record));
  out += ",\"msg\":";
  append_quoted(out, record.message);
  append_fields(out, fields, false);
  return out += '}';
}

std::string console_line(const LogRecord& record, log::Fields fields) {
  std::string out = cat(timestamp_text(record.unix_time), "\t", level_text(record.level), "\t",
                        caller_text(record), "\t", record.message);
  if (fields.size() == 0) return out;
  out += "\t{";
  append_fields(out, fields, true);
  return out += '}';
}

}  // namespace keelson::server
