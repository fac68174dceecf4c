#include "server/log_format.h"

#include <cctype>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/time_text.h"

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
