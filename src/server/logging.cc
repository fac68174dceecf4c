#include "server/logging.h"

#include <fcntl.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "server/go_values.h"
#include "server/journal.h"
#include "server/log_format.h"

namespace keelson::server {
namespace {

using SinkPtr = std::shared_ptr<spdlog::sinks::sink>;

constexpr uint64_t kDefaultMegabytes = 100;  // lumberjack's

log::Level level_of(std::string_view text) {
  if (text == "debug") return log::Level::kDebug;
  if (text == "warn") return log::Level::kWarn;
  if (text == "error") return log::Level::kError;
  if (text == "panic" || text == "dpanic") return log::Level::kPanic;
  if (text == "fatal") return log::Level::kFatal;
  return log::Level::kInfo;
}

SinkPtr standard_error() {
  static const auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  return sink;
}

// Hands lines to something of ours; the mutex is spdlog's way, only its one thread comes here.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  using Write = std::function<void(log::Level, std::string_view)>;
  explicit LineSink(Write write) : write_(std::move(write)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    write_(static_cast<log::Level>(message.source.line),
           {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

  const Write write_;
};

// spdlog would make the directories of a path that is not there; etcd does not start.
// REQUIRES: as open_output().
absl::StatusOr<SinkPtr> open_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) {
    std::string why = lower(std::string_view(std::strerror(errno)).substr(0, 1));
    why += std::string_view(std::strerror(errno)).substr(why.size());
    return absl::InvalidArgumentError(
        cat("open sink ", server::quoted(path), ": open ", path, ": ", why));
  }
  // Open until it is open again: the reader of a pipe would take its end for the log's.
  const std::shared_ptr<void> held(nullptr, [fd](void*) { ::close(fd); });
  return std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
}

// REQUIRES: called where spdlog's exceptions are caught.
absl::StatusOr<SinkPtr> open_output(const std::string& output,
                                    const std::optional<LogRotation>& rotation) {
  if (output == "default" || output == "stderr") return standard_error();
  if (output == "stdout") return std::make_shared<spdlog::sinks::stdout_sink_mt>();
  if (output == "systemd/journal") {
    absl::StatusOr<std::unique_ptr<Journal>> opened = Journal::open();
    if (!opened.ok()) return opened.status();
    std::shared_ptr<Journal> journal = *std::move(opened);
    return std::make_shared<LineSink>(
        [journal](log::Level level, std::string_view line) { journal->write(level, line); });
  }
  if (!rotation) return open_file(output);
  absl::StatusOr<std::unique_ptr<RotatingFile>> opened =
      RotatingFile::open(output, *rotation, [] { return SystemClock().unix_time(); });
  if (!opened.ok()) return opened.status();
  std::shared_ptr<RotatingFile> file = *std::move(opened);
  return std::make_shared<LineSink>(
      [file](log::Level, std::string_view line) { file->write(cat(line, "\n")); });
}

std::vector<std::string> distinct_outputs(std::vector<std::string> outputs) {
  if (outputs.empty()) outputs.push_back("default");
  if (std::find(outputs.begin(), outputs.end(), "/dev/null") != outputs.end()) {
    return {"/dev/null"};
  }
  std::sort(outputs.begin(), outputs.end());
  outputs.erase(std::unique(outputs.begin(), outputs.end()), outputs.end());
  return outputs;
}

// 0 if there is none. Of a number below 0 lumberjack makes what it makes of 0, but of maxsize: etcd
// starts with that, and writes nothing.
absl::StatusOr<uint64_t> whole_number(const nlohmann::json& config, const char* key) {
  auto value = config.find(key);
  if (value == config.end()) return 0;
  if (!value->is_number_integer() ||
      (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX)) {
    return absl::InvalidArgumentError(
        cat("invalid log rotation config: ", key, " must be a whole number"));
  }
  constexpr int64_t kMost = 1'000'000'000;  // a petabyte of megabytes; days that no clock sees
  return static_cast<uint64_t>(std::clamp<int64_t>(value->get<int64_t>(), 0, kMost));
}

}  // namespace

absl::StatusOr<LogRotation> parse_log_rotation(std::string_view text) {
  const auto config = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded()) {
    return absl::InvalidArgumentError(cat("improperly formatted log rotation config: ", text));
  }
  if (!config.is_object()) {
    return absl::InvalidArgumentError(cat("invalid log rotation config: ", text));
  }
  absl::StatusOr<uint64_t> megabytes = whole_number(config, "maxsize");
  if (!megabytes.ok()) return megabytes.status();
  absl::StatusOr<uint64_t> backups = whole_number(config, "maxbackups");
  if (!backups.ok()) return backups.status();
  absl::StatusOr<uint64_t> age = whole_number(config, "maxage");
  if (!age.ok()) return age.status();
  for (const char* key : {"localtime", "compress"}) {
    if (auto value = config.find(key); value != config.end() && !value->is_boolean()) {
      return absl::InvalidArgumentError(
          cat("invalid log rotation config: ", key, " must be true or false"));
    }
  }
  LogRotation rotation;
  rotation.max_bytes = (*megabytes == 0 ? kDefaultMegabytes : *megabytes) << 20;
  rotation.max_backups = *backups;
  rotation.max_age_days = *age;
  rotation.compress = config.value("compress", false);
  rotation.local_time = config.value("localtime", false);
  return rotation;
}

// spdlog's part: the queue, its thread and the files.
class Logging::Outputs {
 public:
  static absl::StatusOr<std::unique_ptr<Outputs>> open(const LogConfig& config) {
    std::optional<LogRotation> rotation;
    if (config.rotation) {
      absl::StatusOr<LogRotation> parsed = parse_log_rotation(config.rotation_json);
      if (!parsed.ok()) return parsed.status();
      rotation = *parsed;
    }
    std::vector<SinkPtr> sinks;
    for (const std::string& output : distinct_outputs(config.outputs)) {
      const auto cannot = [&](std::string_view why) {
        return absl::InvalidArgumentError(cat("couldn't open log output ", output, ": ", why));
      };
      try {
        absl::StatusOr<SinkPtr> sink = open_output(output, rotation);
        if (absl::IsInvalidArgument(sink.status())) return sink.status();
        if (!sink.ok()) return cannot(message_of(sink.status()));
        sinks.push_back(*std::move(sink));
      } catch (const std::exception& e) {
        return cannot(e.what());
      }
    }
    return std::make_unique<Outputs>(std::move(sinks));
  }

  explicit Outputs(std::vector<SinkPtr> sinks)
      : sinks_(std::move(sinks)),
        pool_(std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "keelson", sinks_.begin(), sinks_.end(), pool_, spdlog::async_overflow_policy::block)) {
    logger_->set_level(spdlog::level::trace);
    logger_->set_pattern("%v");
    logger_->flush_on(spdlog::level::info);  // a reader of the file sees a line soon
  }

  void write(log::Level level, const std::string& line) {
    // Debug lines come in numbers: they are flushed with the next of another level.
    // Our level travels as the line of the source, which nobody prints.
    logger_->log(spdlog::source_loc{"", static_cast<int>(level), ""},
                 level == log::Level::kDebug ? spdlog::level::debug : spdlog::level::info,
                 spdlog::string_view_t(line.data(), line.size()));
  }

  // The queue's thread takes lines in order, so a sink of our own at its end tells when it is
  // there.
  void flush() {
    auto reached = std::make_shared<std::atomic<bool>>(false);
    class Mark final : public spdlog::sinks::sink {
     public:
      explicit Mark(std::shared_ptr<std::atomic<bool>> reached) : reached_(std::move(reached)) {}
      void log(const spdlog::details::log_msg&) override {
        // Whoever waits lets go of this sink as soon as it is told: nothing of it is read after.
        const std::shared_ptr<std::atomic<bool>> reached = reached_;
        reached->store(true, std::memory_order_release);
        reached->notify_all();
      }
      void flush() override {}
      void set_pattern(const std::string&) override {}
      void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

     private:
      std::shared_ptr<std::atomic<bool>> reached_;
    };
    auto marker = std::make_shared<spdlog::async_logger>(
        "flush", std::make_shared<Mark>(reached), pool_, spdlog::async_overflow_policy::block);
    marker->info("");
    reached->wait(false, std::memory_order_acquire);
    for (const SinkPtr& sink : sinks_) sink->flush();
  }

 private:
  std::vector<SinkPtr> sinks_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

absl::StatusOr<std::unique_ptr<Logging>> Logging::start(const LogConfig& config) {
  absl::StatusOr<std::unique_ptr<Outputs>> outputs = Outputs::open(config);
  if (!outputs.ok()) return outputs.status();
  std::unique_ptr<Logging> logging(new Logging(config, *std::move(outputs)));
  log::set_sink(logging.get());
  return logging;
}

Logging::Logging(const LogConfig& config, std::unique_ptr<Outputs> outputs)
    : least_(level_of(lower(config.level))),
      console_(config.format == "console"),
      outputs_(std::move(outputs)) {}

Logging::~Logging() {
  log::set_sink(nullptr);
  flush();
}

void Logging::write(log::Level level, std::source_location where, std::string_view message,
                    log::Fields fields) {
  const LogRecord record{level, clock_.unix_time(), where.file_name(), where.line(), message};
  outputs_->write(level, console_ ? console_line(record, fields) : json_line(record, fields));
  if (level >= log::Level::kPanic) flush();
}

void Logging::flush() { outputs_->flush(); }

}  // namespace keelson::server
