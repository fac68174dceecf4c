// base/log.h
//
// Structured logging: a message and named fields, handed to the one sink that the program chose
// (server/logging on spdlog; standard error before that). Messages and keys are etcd's where etcd
// logs the same event.
//
// Threads: any. The sink is set once, before other threads start.

#pragma once

#include <initializer_list>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/text.h"

namespace keelson::log {

enum class Level { kDebug, kInfo, kWarn, kError, kPanic, kFatal };

// One named value. `quoted` tells JSON output whether the text is a string or a bare number/bool.
struct Field {
  std::string_view key;
  std::string value;
  bool quoted;

  Field(std::string_view k, std::string_view v) : key(k), value(v), quoted(true) {}
  Field(std::string_view k, const char* v) : key(k), value(v), quoted(true) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v), quoted(true) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), quoted(false) {}
  template <typename Number>
  requires std::is_arithmetic_v<Number> Field(std::string_view k, Number v)
      : key(k), value(cat(v)), quoted(false) {}
};

using Fields = std::initializer_list<Field>;

class Sink {
 public:
  virtual ~Sink() = default;
  virtual bool enabled(Level level) const = 0;
  virtual void write(Level level, std::source_location where, std::string_view message,
                     Fields fields) = 0;
};

// Null puts the default (plain lines on standard error) back. The sink must outlive its use.
void set_sink(Sink* sink);
bool enabled(Level level);
void write(Level level, std::string_view message, Fields fields,
           std::source_location where = std::source_location::current());

inline void debug(std::string_view message, Fields fields = {},
                  std::source_location where = std::source_location::current()) {
  write(Level::kDebug, message, fields, where);
}
inline void info(std::string_view message, Fields fields = {},
                 std::source_location where = std::source_location::current()) {
  write(Level::kInfo, message, fields, where);
}
inline void warn(std::string_view message, Fields fields = {},
                 std::source_location where = std::source_location::current()) {
  write(Level::kWarn, message, fields, where);
}
inline void error(std::string_view message, Fields fields = {},
                  std::source_location where = std::source_location::current()) {
  write(Level::kError, message, fields, where);
}

}  // namespace keelson::log
