// trace/span.h
//
// Span is one piece of work of a sampled trace: a name, a time, what is said about it. What is not
// sampled has none: a SpanPtr is null then, and that is all it costs.
//
// Threads: one at a time. Ending it (destroying the SpanPtr) hands it to the Tracer's sink.
// Lifetime: the Tracer outlives its spans.
// Bounds: a text is cut at kMostText bytes; so many events are kept.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "trace/context.h"

namespace keelson::trace {

class Tracer;

// Keys and names of events are texts of the program, which are always there.
struct Attribute {
  std::string_view key;
  std::variant<std::string, int64_t, bool> value;
};

struct Event {
  std::string_view name;
  Duration time;  // since the Unix epoch
  std::vector<Attribute> attributes = {};
};

// A change is on its way through the log, and has come back.
inline constexpr std::string_view kProposed = "Send raft proposal";
inline constexpr std::string_view kAnswered = "Receive raft result";

// Who a span says that it was made by.
enum class Scope : uint8_t { kGrpc, kEtcd };
enum class Kind : uint8_t { kInternal, kServer };

class Span {
 public:
  // Longer keys than any client has in earnest; so a span stays a small thing.
  static constexpr size_t kMostText = size_t{64} << 10;
  static constexpr size_t kMostEvents = 128;

  struct Start {
    SpanContext context;
    SpanId parent;  // none: it is the trace's first
    bool parent_is_remote = false;
    std::string name;
    Scope scope = Scope::kEtcd;
    Kind kind = Kind::kInternal;
  };

  Span(Tracer* tracer, Start start);

  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, int64_t value) { attributes_.push_back({key, value}); }
  void set(std::string_view key, bool value) { attributes_.push_back({key, value}); }
  void event(std::string_view name, std::vector<Attribute> attributes = {});
  // The event by which OpenTelemetry's libraries tell of an error of Go's kind.
  void record_error(std::string_view message);
  // The work has failed.
  void fail(std::string_view message);

  const Start& start() const { return start_; }
  const SpanContext& context() const { return start_.context; }
  Tracer& tracer() const { return *tracer_; }
  const std::vector<Attribute>& attributes() const { return attributes_; }
  const std::vector<Event>& events() const { return events_; }
  bool failed() const { return failed_; }
  const std::string& failure() const { return failure_; }
  Duration began() const { return began_; }
  Duration ended() const { return ended_; }  // >= began(), once it has
  // What it takes of memory, about, and of a message.
  size_t bytes() const;

 private:
  friend class Tracer;
  friend class SpanQueue;
  Duration now() const;

  Tracer* const tracer_;
  const Start start_;
  const Duration began_;         // since the Unix epoch; what follows is measured from there
  const MonotonicTime started_;  // the same moment
  Duration ended_{0};
  std::vector<Attribute> attributes_;
  std::vector<Event> events_;
  bool failed_ = false;
  std::string failure_;
  Span* next_ = nullptr;  // the queue's
};

struct EndSpan {
  void operator()(Span* span) const;
};
// A span under way. Null: what it would tell of is not sampled.
using SpanPtr = std::unique_ptr<Span, EndSpan>;

}  // namespace keelson::trace
