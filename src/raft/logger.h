// raft/logger.h
//
// Where raft's log lines go. The texts are etcd-raft's to the letter (operators grep for them, and
// the scenario files check them). Raft asks enabled() before it formats anything, so a null logger
// or a closed level costs a test.
//
// panic() is for what etcd-raft panics about: the storage contradicts itself, or a peer said what
// no correct peer says ("tocommit(9) is out of range [lastIndex(5)]. Was the raft log corrupted,
// truncated, or lost?"). A server's logger writes the line and stops the process. If it returns
// (fuzzing, simulation), raft refuses the input that led there and stays consistent.

#pragma once

#include <cstdint>
#include <string_view>

namespace keelson::raft {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

class Logger {
 public:
  virtual ~Logger() = default;
  virtual bool enabled(LogLevel level) const = 0;
  virtual void write(LogLevel level, std::string_view line) = 0;
  virtual void panic(std::string_view line) = 0;
};

}  // namespace keelson::raft
