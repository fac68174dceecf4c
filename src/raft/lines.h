// raft/lines.h
//
// Lines: how the inside of raft writes log lines. Members print in hexadecimal, as etcd-raft prints
// them; costly parts are given as callables and run only if the line is wanted.

#pragma once

#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/text.h"
#include "raft/logger.h"
#include "raft/types.h"

namespace keelson::raft {

class Lines {
 public:
  explicit Lines(Logger* logger) : logger_(logger) {}

  template <typename... Parts>
  void debug(const Parts&... parts) const {
    write(LogLevel::kDebug, parts...);
  }
  template <typename... Parts>
  void info(const Parts&... parts) const {
    write(LogLevel::kInfo, parts...);
  }
  template <typename... Parts>
  void warning(const Parts&... parts) const {
    write(LogLevel::kWarning, parts...);
  }
  template <typename... Parts>
  void error(const Parts&... parts) const {
    write(LogLevel::kError, parts...);
  }
  // May return; see Logger::panic. The caller then refuses its input.
  template <typename... Parts>
  void panic(const Parts&... parts) const {
    if (logger_) logger_->panic(cat(piece(parts)...));
  }

 private:
  template <typename... Parts>
  void write(LogLevel level, const Parts&... parts) const {
    if (logger_ && logger_->enabled(level)) logger_->write(level, cat(piece(parts)...));
  }

  static absl::Hex piece(MemberId id) { return absl::Hex(id.value); }
  static uint64_t piece(Term term) { return term.value; }
  static uint64_t piece(Index index) { return index.value; }
  static std::string_view piece(MessageType type) { return name_of(type); }
  static std::string_view piece(StateType state) { return name_of(state); }
  template <typename Part>
  static decltype(auto) piece(const Part& part) {
    if constexpr (std::is_invocable_v<Part>) {
      return part();
    } else {
      return (part);
    }
  }

  Logger* logger_;
};

}  // namespace keelson::raft
