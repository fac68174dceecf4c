#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace keelson::log {
namespace {

class StderrSink final : public Sink {
 public:
  bool enabled(Level level) const override { return level != Level::kDebug; }
  void write(Level, std::source_location, std::string_view message, Fields fields) override {
    std::string line(message);
    for (const Field& f : fields) line += cat(" ", f.key, "=", f.value);
    line += '\n';
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
};

StderrSink& stderr_sink() {
  static StderrSink sink;
  return sink;
}

std::atomic<Sink*> current{nullptr};

Sink& sink() {
  Sink* s = current.load(std::memory_order_acquire);
  return s ? *s : stderr_sink();
}

}  // namespace

void set_sink(Sink* s) { current.store(s, std::memory_order_release); }

bool enabled(Level level) { return sink().enabled(level); }

void write(Level level, std::string_view message, Fields fields, std::source_location where) {
  Sink& s = sink();
  if (s.enabled(level)) s.write(level, where, message, fields);
}

}  // namespace keelson::log
