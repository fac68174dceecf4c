// http/call_traces.h
//
// CallTraces keeps what /debug/requests shows (with --log-level=debug): the calls under way, and of
// those that are over the last ones of each length, by service. What is kept of messages are sizes
// and, of the KV service, what etcd's lines about requests say: keys, never values.
//
// Place: the listener's observer, in front of the one that counts; there is none without
//   --log-level=debug, so that it costs nothing then.
// Threads: each loop keeps its own; nothing is shared, nothing locked. view() runs on the loop that
//   it is of.
// Bounds, for each loop: 10 calls of each length and service, 10 events of at most 100 bytes of
//   each call, and 16384 calls under way; further ones are not traced.
// Source: golang.org/x/net/trace, grpc-go's trace.go.

#pragma once

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "http/latency_series.h"
#include "net/grpc.h"
#include "wire/internal_request.h"

namespace keelson::http {

struct CallTrace {
  struct Event {
    Duration unix_time{0};
    std::string text;
    bool sensitive = false;  // of a message
  };
  static constexpr size_t kMostEvents = 10;

  void add(Event event);

  std::string_view method;  // "/etcdserverpb.KV/Put"; the router's
  Duration start{0};        // since the epoch
  Duration elapsed{0};
  bool failed = false;
  std::vector<Event> events;  // at most kMostEvents, the first and the last ones
  uint64_t discarded = 0;     // for which the one in the middle stands; 0: it is one itself
};

// What a page of the traces is to show beside the table of all services.
struct TraceQuery {
  // Buckets of calls that are over, by how long they took; then those that failed; then latencies.
  static constexpr std::array<Duration, 8> kLeast = {
      Duration(0),
      std::chrono::milliseconds(50),
      std::chrono::milliseconds(100),
      std::chrono::milliseconds(200),
      std::chrono::milliseconds(500),
      std::chrono::seconds(1),
      std::chrono::seconds(10),
      std::chrono::seconds(100),
  };
  static constexpr int kFailed = kLeast.size();
  static constexpr int kBuckets = kFailed + 1;
  static constexpr int kActive = -1;
  static constexpr int kMostActive = 20;
  static constexpr size_t kMostShown = 10;

  std::string family;  // empty: nothing
  int bucket = kActive;

  bool of_latency() const { return bucket >= kBuckets; }
};

// What one loop knows, or all of them together.
struct TraceView {
  struct Family {
    size_t active = 0;
    std::array<bool, TraceQuery::kBuckets> filled{};
  };
  // Those of which there was a call, by name.
  std::vector<std::pair<std::string, Family>> families;
  // What was asked for: newest first, of those under way the oldest 20.
  std::vector<std::shared_ptr<const CallTrace>> traces;
  std::optional<LatencyCounts> latency;

  void add(TraceView other);
  // Once all are added: in order, and no more than are shown.
  void settle(const TraceQuery& query);
};

class CallTraces final : public net::CallObserver {
 public:
  // `next` is told as well; it and the system's clock outlive this.
  CallTraces(net::CallObserver& next, const Clock& clock, int loops);
  ~CallTraces() override;

  // Learns the methods. Before the listener starts.
  void bind(const net::Router& router);

  void call_started(const net::ServerCall& call) override;
  void message_received(const net::ServerCall& call, const Bytes& message) override;
  void message_sent(const net::ServerCall& call, const net::MessageParts& message) override;
  void call_finished(const net::ServerCall& call, const net::CallSummary& summary) override;

  // On that loop.
  TraceView view(int loop, const TraceQuery& query) const;

 private:
  struct Method {
    size_t family;
    wire::InternalKind kind;  // of requests that can be described; kNone: of no kind
  };
  struct Active;
  struct Family;
  struct Lane;

  Lane& lane(const net::ServerCall& call);
  Active* find(const net::ServerCall& call);
  void show(const Family& family, const TraceQuery& query, TraceView& out) const;

  net::CallObserver& next_;
  const Clock& clock_;
  std::vector<std::string> families_;         // "grpc.Recv.etcdserverpb.KV"
  std::vector<Method> methods_;               // by MethodInfo::index; families_[family] is its own
  std::vector<std::unique_ptr<Lane>> lanes_;  // by Loop::number()
};

}  // namespace keelson::http
