// base/quiet_log.h
//
// QuietLog silences the log while it lives, for tests that crash or refuse a lot.
//
// Threads: made and destroyed while no other thread logs.

#pragma once

#include "base/log.h"

namespace keelson::log {

class QuietLog final : public Sink {
 public:
  QuietLog() { set_sink(this); }
  ~QuietLog() override { set_sink(nullptr); }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;

  bool enabled(Level) const override { return false; }
  void write(Level, std::source_location, std::string_view, Fields) override {}
};

}  // namespace keelson::log
