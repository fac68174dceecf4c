// node/raft_log.h
//
// The consensus core's log lines on their way to the member's log. What the core panics about (a
// log that contradicts itself, entries once acknowledged and now gone) ends the member: `fatal` is
// told, and must not return to the core's caller before nothing more can be acknowledged. Many
// lines are about messages, of which others send as many as they like: those have a bound.
//
// Threads: the consensus lane.

#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/line_budget.h"
#include "base/log.h"
#include "base/text.h"
#include "raft/logger.h"

namespace keelson::node {

class RaftLog final : public raft::Logger {
 public:
  // `lines` outlives this.
  RaftLog(std::function<void(absl::Status)> fatal, LineBudget* lines)
      : fatal_(std::move(fatal)), lines_(*lines) {}

  bool enabled(raft::LogLevel level) const override { return log::enabled(level_of(level)); }
  void write(raft::LogLevel level, std::string_view line) override {
    const log::Level at = is_everyday(line) ? log::Level::kDebug : level_of(level);
    if (at == log::Level::kDebug || take_line(&lines_, kFrame + line.size())) {
      log::write(at, line, {});
    }
  }
  void panic(std::string_view line) override {
    fatal_(absl::DataLossError(
        cat(line,
            "; the log cannot be trusted: restore the member from a backup, or remove it "
            "from its cluster and add it anew")));
  }

 private:
  // Raft says it of each answer for entries that are stable already. With asynchronous writes that
  // is no fault: every answer names the end of the log, so a write of a hard state behind one of
  // entries answers for the same entries again. (etcd's server writes synchronously and never gets
  // there.)
  static bool is_everyday(std::string_view line) {
    return line.ends_with("missing from unstable log; ignoring");
  }

  static log::Level level_of(raft::LogLevel level) {
    switch (level) {
      case raft::LogLevel::kDebug:
        return log::Level::kDebug;
      case raft::LogLevel::kInfo:
        return log::Level::kInfo;
      case raft::LogLevel::kWarning:
        return log::Level::kWarn;
      case raft::LogLevel::kError:
        return log::Level::kError;
    }
    return log::Level::kError;
  }

  static constexpr size_t kFrame = 100;  // what a line has besides

  const std::function<void(absl::Status)> fatal_;
  LineBudget& lines_;
};

}  // namespace keelson::node
