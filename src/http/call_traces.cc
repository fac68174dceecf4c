#include "http/call_traces.h"

#include <algorithm>
#include <utility>

#include "apply/request_text.h"
#include "base/check.h"
#include "base/text.h"
#include "base/time_text.h"
#include "http/endpoint.h"

namespace keelson::http {
namespace {

constexpr size_t kMostText = 100;
constexpr size_t kMostCalls = 16384;

using TracePtr = std::shared_ptr<const CallTrace>;

bool newer(const TracePtr& a, const TracePtr& b) { return a->start > b->start; }
bool ended_later(const TracePtr& a, const TracePtr& b) {
  return a->start + a->elapsed > b->start + b->elapsed;
}

std::string cut(std::string text) {
  if (text.size() > kMostText) text.resize(kMostText);
  return text;
}

// What Go prints of an error of gRPC.
std::string error_of(const net::CallSummary& summary) {
  static constexpr std::string_view kNames[] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  const auto code = static_cast<size_t>(summary.code);
  return cat("rpc error: code = ", code < std::size(kNames) ? kNames[code] : "Unknown",
             " desc = ", summary.text);
}

}  // namespace

// Of many events those at the beginning and those at the end are of interest.
void CallTrace::add(Event event) {
  if (events.size() == kMostEvents) {
    constexpr size_t kMiddle = (kMostEvents - 1) / 2;
    discarded = discarded == 0 ? 2 : discarded + 1;
    // It stands for all up to the one behind it.
    events[kMiddle] = {events[kMiddle + 1].unix_time, cat("(", discarded, " events discarded)")};
    events.erase(events.begin() + kMiddle + 1);
  }
  events.push_back(std::move(event));
  CHECK(events.size() <= kMostEvents);
}

void TraceView::add(TraceView other) {
  for (auto& [name, family] : other.families) {
    auto at = std::find_if(families.begin(), families.end(),
                           [&name = name](const auto& known) { return known.first == name; });
    if (at == families.end()) {
      families.emplace_back(std::move(name), family);
      continue;
    }
    at->second.active += family.active;
    for (size_t i = 0; i < family.filled.size(); ++i) at->second.filled[i] |= family.filled[i];
  }
  for (TracePtr& trace : other.traces) traces.push_back(std::move(trace));
  if (!other.latency) return;
  if (!latency) latency.emplace();
  latency->add(*other.latency);
}

void TraceView::settle(const TraceQuery& query) {
  std::sort(families.begin(), families.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  if (query.bucket == TraceQuery::kActive) {
    std::sort(traces.begin(), traces.end(), newer);
    const size_t most = TraceQuery::kMostActive;
    if (traces.size() > most) traces.erase(traces.begin(), traces.end() - most);
    return;
  }
  std::sort(traces.begin(), traces.end(), ended_later);
  if (traces.size() > TraceQuery::kMostShown) traces.resize(TraceQuery::kMostShown);
  std::sort(traces.begin(), traces.end(), newer);
}

struct CallTraces::Active {
  CallTrace trace;
  MonotonicTime start;
  std::list<Active*>::iterator place;  // in its family's list
};

struct CallTraces::Family {
  std::list<Active*> active;                                    // oldest first
  std::array<std::deque<TracePtr>, TraceQuery::kBuckets> over;  // at most kMostShown each
  LatencySeries latency;
};

struct CallTraces::Lane {
  std::vector<std::unique_ptr<Family>> families;  // like families_; null: no call of it yet
  std::unordered_map<const net::ServerCall*, Active> calls;  // at most kMostCalls
};

CallTraces::CallTraces(net::CallObserver& next, const Clock& clock, int loops)
    : next_(next), clock_(clock) {
  for (int i = 0; i < loops; ++i) lanes_.push_back(std::make_unique<Lane>());
}

CallTraces::~CallTraces() = default;

void CallTraces::bind(const net::Router& router) {
  CHECK(methods_.empty());
  for (const net::MethodInfo* method : router.methods()) {
    CHECK(static_cast<size_t>(method->index) == methods_.size());
    const std::string name = cat("grpc.Recv.", method->service);
    const auto at = std::find(families_.begin(), families_.end(), name);
    const auto family = static_cast<size_t>(at - families_.begin());
    if (at == families_.end()) families_.push_back(name);
    methods_.push_back({family, described_kind(*method)});
  }
  for (auto& lane : lanes_) lane->families.resize(families_.size());
}

CallTraces::Lane& CallTraces::lane(const net::ServerCall& call) {
  return *lanes_[static_cast<size_t>(call.loop().number())];
}

CallTraces::Active* CallTraces::find(const net::ServerCall& call) {
  auto& calls = lane(call).calls;
  const auto at = calls.find(&call);
  return at == calls.end() ? nullptr : &at->second;
}

void CallTraces::call_started(const net::ServerCall& call) {
  next_.call_started(call);
  Lane& on = lane(call);
  if (on.calls.size() >= kMostCalls) return;
  auto& family = on.families[methods_[static_cast<size_t>(call.method().index)].family];
  if (!family) family = std::make_unique<Family>();
  const auto [at, added] = on.calls.try_emplace(&call);
  CHECK(added);
  Active& active = at->second;
  active.place = family->active.insert(family->active.end(), &active);
  active.start = clock_.now();
  active.trace.method = call.method().path;
  active.trace.start = clock_.unix_time();
  const auto deadline = call.deadline();
  active.trace.add(
      {active.trace.start, cat("RPC: from ", call.peer().address, " deadline:",
                               deadline ? duration_text(*deadline - active.start) : "none")});
}

void CallTraces::message_received(const net::ServerCall& call, const Bytes& message) {
  next_.message_received(call, message);
  Active* active = find(call);
  if (!active) return;
  const wire::InternalKind kind = methods_[static_cast<size_t>(call.method().index)].kind;
  const std::string what = kind == wire::InternalKind::kNone
                               ? cat(message.size(), " bytes")
                               : apply::request_text(kind, message, kMostText);
  active->trace.add({clock_.unix_time(), cut(cat("recv: ", what)), true});
}

void CallTraces::message_sent(const net::ServerCall& call, const net::MessageParts& message) {
  next_.message_sent(call, message);
  Active* active = find(call);
  if (!active) return;
  active->trace.add({clock_.unix_time(), cat("sent: ", message.size(), " bytes"), true});
}

void CallTraces::call_finished(const net::ServerCall& call, const net::CallSummary& summary) {
  next_.call_finished(call, summary);
  Lane& on = lane(call);
  const auto at = on.calls.find(&call);
  if (at == on.calls.end()) return;
  Active& active = at->second;
  Family& family = *on.families[methods_[static_cast<size_t>(call.method().index)].family];
  const MonotonicTime now = clock_.now();
  CallTrace& trace = active.trace;
  trace.elapsed = now - active.start;
  trace.failed = summary.code != absl::StatusCode::kOk;
  trace.add({clock_.unix_time(), trace.failed ? cut(error_of(summary)) : "OK", trace.failed});
  family.active.erase(active.place);
  family.latency.add(trace.elapsed, now);
  const auto done = std::make_shared<const CallTrace>(std::move(trace));
  on.calls.erase(at);
  for (size_t i = 0; i < family.over.size(); ++i) {
    const bool belongs =
        i < TraceQuery::kLeast.size() ? done->elapsed >= TraceQuery::kLeast[i] : done->failed;
    if (!belongs) continue;
    family.over[i].push_back(done);
    if (family.over[i].size() > TraceQuery::kMostShown) family.over[i].pop_front();
  }
}

void CallTraces::show(const Family& family, const TraceQuery& query, TraceView& out) const {
  if (query.of_latency()) {
    const int window = query.bucket - TraceQuery::kBuckets;
    if (window > static_cast<int>(LatencySeries::Window::kTotal)) return;
    out.latency = family.latency.over(static_cast<LatencySeries::Window>(window), clock_.now());
  } else if (query.bucket == TraceQuery::kActive) {
    const MonotonicTime now = clock_.now();
    for (const Active* active : family.active) {
      if (out.traces.size() == TraceQuery::kMostActive) break;
      auto copy = std::make_shared<CallTrace>(active->trace);
      copy->elapsed = now - active->start;
      out.traces.push_back(std::move(copy));
    }
  } else {
    const auto& over = family.over[static_cast<size_t>(query.bucket)];
    out.traces.assign(over.begin(), over.end());
  }
}

TraceView CallTraces::view(int loop, const TraceQuery& query) const {
  TraceView out;
  const Lane& on = *lanes_[static_cast<size_t>(loop)];
  for (size_t i = 0; i < on.families.size(); ++i) {
    const auto& family = on.families[i];
    if (!family) continue;
    TraceView::Family shown{.active = family->active.size()};
    for (size_t b = 0; b < shown.filled.size(); ++b) shown.filled[b] = !family->over[b].empty();
    out.families.emplace_back(families_[i], shown);
    if (families_[i] == query.family) show(*family, query, out);
  }
  return out;
}

}  // namespace keelson::http
