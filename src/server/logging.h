// server/logging.h
//
// Logging is the program's log sink: it formats lines where they arise and hands them to one
// spdlog thread that writes them to the outputs of --log-outputs.
//
// Threads: write() from any. A caller waits only while kQueuedLines lines wait to be written:
//   a log that nobody drains slows the program down rather than growing or losing lines.
// Lifetime: one at a time. start() makes it the sink of base/log.h; the destructor writes what is
//   queued and puts the default sink back. Lines at panic and fatal are written before write()
//   returns, as the process is about to end.
// Rotation: server/rotating_file.h. The journal: server/journal.h.

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "server/config.h"
#include "server/rotating_file.h"

namespace keelson::server {

class Logging final : public log::Sink {
 public:
  static constexpr size_t kQueuedLines = 8192;

  // Opens the outputs. InvalidArgument with etcd's text when that cannot be.
  static absl::StatusOr<std::unique_ptr<Logging>> start(const LogConfig& config);
  ~Logging() override;

  bool enabled(log::Level level) const override { return level >= least_; }
  void write(log::Level level, std::source_location where, std::string_view message,
             log::Fields fields) override;

  // Returns once every line logged before has been written.
  void flush();

 private:
  class Outputs;
  Logging(const LogConfig& config, std::unique_ptr<Outputs> outputs);

  const log::Level least_;
  const bool console_;
  SystemClock clock_;
  std::unique_ptr<Outputs> outputs_;
};

// Of --log-rotation-config-json. InvalidArgument with what is wrong.
absl::StatusOr<LogRotation> parse_log_rotation(std::string_view json);

}  // namespace keelson::server
