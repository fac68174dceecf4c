// base/test_log.h
//
// TestLog keeps what is logged while it lives, for tests of what is said.
//
// Threads: made and destroyed while no other thread logs; lines are written from any.

#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"

namespace keelson::log {

class TestLog final : public Sink {
 public:
  struct Line {
    Level level;
    std::string message;
    std::map<std::string, std::string> fields;
  };

  explicit TestLog(Level least) : least_(least) { set_sink(this); }
  ~TestLog() override { set_sink(nullptr); }
  TestLog(const TestLog&) = delete;
  TestLog& operator=(const TestLog&) = delete;

  bool enabled(Level level) const override { return level >= least_; }
  void write(Level level, std::source_location, std::string_view message, Fields fields) override {
    if (!enabled(level)) return;
    Line line{level, std::string(message), {}};
    for (const Field& field : fields) line.fields.emplace(field.key, field.value);
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }

  // Those with this message, and takes them out.
  std::vector<Line> take(std::string_view message) {
    const std::lock_guard lock(mutex_);
    std::vector<Line> taken, left;
    for (Line& line : lines_) (line.message == message ? taken : left).push_back(std::move(line));
    lines_ = std::move(left);
    return taken;
  }

 private:
  const Level least_;
  std::mutex mutex_;
  std::vector<Line> lines_;
};

}  // namespace keelson::log
