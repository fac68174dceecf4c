// server/log_format.h
//
// How a log line looks: JSON with etcd's keys (level, ts, caller, msg, then the fields) or, for
// people, the console form of the same (source: zap's production encoders as etcd v3.7.1 sets
// them, client/pkg/logutil/zap.go).
//
// Threads: pure functions.

#pragma once

#include <source_location>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"

namespace keelson::server {

struct LogRecord {
  log::Level level;
  Duration unix_time;
  std::string_view file;  // as the compiler names it; its last two parts are shown
  unsigned line = 0;
  std::string_view message;
};

// Without a line end.
std::string json_line(const LogRecord& record, log::Fields fields);
std::string console_line(const LogRecord& record, log::Fields fields);

std::string_view level_text(log::Level level);

}  // namespace keelson::server
