// Spans, what a call's say, their ids, and the queue that they end in.

#include "trace/span.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/errors.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "trace/call_trace.h"
#include "trace/span_queue.h"
#include "trace/test_spans.h"

namespace keelson::trace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kSampledParent =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr std::string_view kOtherParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

std::vector<std::string> said(const std::vector<Attribute>& attributes) {
  std::vector<std::string> out;
  for (const Attribute& a : attributes) {
    if (const auto* text = std::get_if<std::string>(&a.value)) {
      out.push_back(cat(a.key, "=", *text));
    } else if (const auto* number = std::get_if<int64_t>(&a.value)) {
      out.push_back(cat(a.key, "#", *number));
    } else {
      out.push_back(cat(a.key, std::get<bool>(a.value) ? "!" : "?"));
    }
  }
  return out;
}

struct Traced : testing::Test {
  TestClock clock;
  KeptSpans kept;
  Tracer always{{.samples_per_million = Sampler::kMillion, .seed = {1, 2}}, clock, kept};
  Tracer never{{.samples_per_million = 0, .seed = {1, 2}}, clock, kept};

  static Tracer::Call call(std::string_view parent, std::string_view state = "") {
    return {.name = "etcdserverpb.KV/Range", .traceparent = parent, .tracestate = state};
  }
};

TEST_F(Traced, ACallIsUnderItsCaller) {
  never.begin(call(kSampledParent, "vendor=1")).reset();
  const Span& span = *kept.spans.at(0);
  EXPECT_EQ(span.context().trace, (TraceId{0x0af7651916cd43dd, 0x8448eb211c80319c}));
  EXPECT_EQ(span.start().parent, SpanId{0xb7ad6b7169203331});
  EXPECT_TRUE(span.start().parent_is_remote);
  EXPECT_TRUE(span.context().span.valid());
  EXPECT_NE(span.context().span, span.start().parent);
  EXPECT_EQ(span.context().state.view(), "vendor=1");
  EXPECT_EQ(span.start().kind, Kind::kServer);
  EXPECT_EQ(span.start().scope, Scope::kGrpc);
}

// It may have some eight thousand bytes, and a call thousands of spans.
TEST_F(Traced, SpansOfACallShareItsState) {
  const SpanPtr call_span = never.begin(call(kSampledParent, "vendor=1"));
  const SpanPtr one = never.begin("range", *call_span);
  const SpanPtr below = never.begin("read", *one);
  EXPECT_EQ(below->context().state.view(), "vendor=1");
  EXPECT_EQ(one->context().state.data(), call_span->context().state.data());
  EXPECT_EQ(below->context().state.data(), call_span->context().state.data());
}

TEST_F(Traced, WhatTheCallerDecidedHolds) {
  EXPECT_EQ(always.begin(call(kOtherParent)), nullptr);
  EXPECT_NE(never.begin(call(kSampledParent)), nullptr);
}

TEST_F(Traced, WithoutACallerTheRateDecides) {
  EXPECT_EQ(never.begin(call("")), nullptr);
  EXPECT_EQ(never.begin("compact"), nullptr);
  for (std::string_view parent : {"", "nonsense"}) {
    SpanPtr span = always.begin(call(parent, "vendor=1"));
    ASSERT_NE(span, nullptr);
    EXPECT_TRUE(span->context().trace.valid());
    EXPECT_TRUE(span->context().sampled());
    EXPECT_FALSE(span->start().parent.valid());
    EXPECT_EQ(span->context().state.view(), "");
  }
  SpanPtr span = always.begin("compact");
  EXPECT_EQ(span->start().kind, Kind::kInternal);
  EXPECT_FALSE(span->start().parent_is_remote);
}

TEST_F(Traced, TimesAreOfTheClockThatDoesNotJump) {
  clock.unix = std::chrono::seconds(1000);
  SpanPtr span = always.begin("compact");
  clock.pass(std::chrono::milliseconds(5));
  clock.unix = Duration(0);
  span->event("Send raft proposal");
  clock.pass(std::chrono::milliseconds(7));
  span.reset();
  const Span& ended = *kept.spans.at(0);
  EXPECT_EQ(ended.began(), std::chrono::seconds(1000));
  EXPECT_EQ(ended.events().at(0).time - ended.began(), std::chrono::milliseconds(5));
  EXPECT_EQ(ended.ended() - ended.began(), std::chrono::milliseconds(12));
}

TEST_F(Traced, IdsAreNotTheSameTwice) {
  for_each_seed(20, [&](uint64_t seed) {
    Tracer tracer({.samples_per_million = Sampler::kMillion, .seed = {seed, ~seed}}, clock, kept);
    std::set<uint64_t> spans;
    std::set<std::string> traces;
    for (int i = 0; i < 1000; ++i) {
      SpanPtr span = tracer.begin("compact");
      spans.insert(span->context().span.value);
      traces.insert(span->context().trace.bytes());
      spans.insert(tracer.begin("put", *span)->context().span.value);
    }
    EXPECT_EQ(spans.size(), 2000u);
    EXPECT_EQ(traces.size(), 1000u);
    kept.spans.clear();
  });
}

TEST_F(Traced, ACallSaysWhatEtcdsDo) {
  auto trace = CallTrace::begin(always, call(kSampledParent), "127.0.0.1:2379");
  trace->work("range").set("range_begin", "k");
  clock.pass(Duration(10));
  trace->finish(absl::OkStatus());
  trace.reset();
  ASSERT_EQ(kept.spans.size(), 2u);
  const Span& work = *kept.spans[0];
  const Span& server = *kept.spans[1];
  EXPECT_EQ(work.start().name, "range");
  EXPECT_EQ(work.start().parent, server.context().span);
  EXPECT_EQ(work.context().trace, server.context().trace);
  EXPECT_FALSE(work.start().parent_is_remote);
  EXPECT_EQ(work.start().kind, Kind::kInternal);
  EXPECT_EQ(work.start().scope, Scope::kEtcd);
  EXPECT_THAT(said(work.attributes()), ElementsAre("range_begin=k"));
  EXPECT_EQ(server.start().name, "etcdserverpb.KV/Range");
  EXPECT_THAT(
      said(server.attributes()),
      ElementsAre("rpc.method=etcdserverpb.KV/Range", "rpc.system.name=grpc",
                  "server.address=127.0.0.1", "server.port#2379", "rpc.response.status_code=OK"));
  EXPECT_FALSE(server.failed());
}

TEST_F(Traced, TheServersOwnErrorsAreErrors) {
  const std::pair<absl::Status, bool> statuses[] = {
      {absl::UnknownError("why"), true},           {absl::DeadlineExceededError("why"), true},
      {absl::UnimplementedError("why"), true},     {absl::InternalError("why"), true},
      {absl::UnavailableError("why"), true},       {absl::DataLossError("why"), true},
      {absl::CancelledError("why"), false},        {absl::InvalidArgumentError("why"), false},
      {absl::NotFoundError("why"), false},         {absl::AlreadyExistsError("why"), false},
      {absl::PermissionDeniedError("why"), false}, {absl::ResourceExhaustedError("why"), false},
      {absl::OutOfRangeError("why"), false},       {absl::UnauthenticatedError("why"), false}};
  for (const auto& [status, failed] : statuses) {
    auto trace = CallTrace::begin(always, call(""), "");
    trace->finish(status);
    trace.reset();
    EXPECT_EQ(kept.spans.back()->failed(), failed) << status;
    EXPECT_EQ(kept.spans.back()->failure(), failed ? "why" : "") << status;
    EXPECT_EQ(said(kept.spans.back()->attributes()).back(),
              cat("rpc.response.status_code=", absl::StatusCodeToString(status.code())));
  }
}

TEST_F(Traced, ServersAddressesComeApartAsInGo) {
  const std::pair<std::string_view, std::vector<std::string>> addresses[] = {
      {"10.0.0.1:2379", {"server.address=10.0.0.1", "server.port#2379"}},
      {"[::1]:2379", {"server.address=::1", "server.port#2379"}},
      {"[fe80::1%eth0]:1", {"server.address=fe80::1%eth0", "server.port#1"}},
      {"/run/etcd.sock", {"server.address=/run/etcd.sock"}},
      {"localhost:m1", {"server.address=localhost"}},
      {"a:b:1", {"server.address=a:b:1"}},
      {"[::1]", {"server.address=[::1]"}},
      {"[::1", {"server.address=[::1"}},
      {"", {"server.address="}},
      {"host:", {"server.address=host"}}};
  for (const auto& [address, expected] : addresses) {
    auto trace = CallTrace::begin(always, call(""), address);
    trace->finish(absl::OkStatus());
    trace.reset();
    std::vector<std::string> all = said(kept.spans.back()->attributes());
    EXPECT_EQ(std::vector<std::string>(all.begin() + 2, all.end() - 1), expected) << address;
  }
}

std::vector<std::string> events_of(const Span& span) {
  std::vector<std::string> out;
  for (const Event& event : span.events()) {
    std::string text(event.name);
    for (const std::string& attribute : said(event.attributes)) text += cat(" ", attribute);
    out.push_back(std::move(text));
  }
  return out;
}

TEST_F(Traced, TheWayThroughTheLogIsToldByEvents) {
  constexpr std::string_view kError =
      "exception exception.type=*errors.errorString "
      "exception.message=";
  {
    auto trace = CallTrace::begin(always, call(""), "");
    trace->work("put");
    trace->proposed();
    trace->answered(true, "");
    trace->finish(absl::OkStatus());
  }
  EXPECT_THAT(events_of(*kept.spans.at(0)),
              ElementsAre("Send raft proposal", "Receive raft result"));
  EXPECT_THAT(events_of(*kept.spans.at(1)), IsEmpty());
  {
    auto trace = CallTrace::begin(always, call(""), "");  // no work: the events are the call's
    trace->proposed();
    trace->answered(false, "etcdserver: request timed out");
    trace->finish(absl::UnavailableError("etcdserver: request timed out"));
  }
  EXPECT_THAT(events_of(*kept.spans.at(2)),
              ElementsAre("Send raft proposal", cat(kError, "etcdserver: request timed out")));
  {
    auto trace = CallTrace::begin(always, call(""), "");
    trace->work("put");
    trace->proposed();
    trace->finish(absl::CancelledError("context canceled"));
  }
  EXPECT_THAT(events_of(*kept.spans.at(3)),
              ElementsAre("Send raft proposal", cat(kError, "etcdserver: request cancelled")));
}

TEST_F(Traced, NothingGrowsBeyondItsBounds) {
  SpanPtr span = always.begin("put");
  span->set("key", std::string(Span::kMostText + 1, 'k'));
  span->fail(std::string(Span::kMostText + 1, 'f'));
  for (size_t i = 0; i < Span::kMostEvents + 1; ++i) span->event("Send raft proposal");
  EXPECT_EQ(std::get<std::string>(span->attributes()[0].value).size(), Span::kMostText);
  EXPECT_EQ(span->failure().size(), Span::kMostText);
  EXPECT_EQ(span->events().size(), Span::kMostEvents);
  EXPECT_GT(span->bytes(), 2 * Span::kMostText);
}

struct Queued : Traced {
  std::unique_ptr<Span> one(size_t bytes = 0) {
    always.begin("put").reset();
    std::unique_ptr<Span> span = std::move(kept.spans.back());
    kept.spans.clear();
    if (bytes > span->bytes()) span->set("key", std::string(bytes - span->bytes(), 'k'));
    return span;
  }
};

TEST_F(Queued, BatchesAreTakenInOrder) {
  SpanQueue queue({.spans = 10, .batch_spans = 3});
  std::vector<SpanId> pushed;
  for (int i = 0; i < 5; ++i) {
    auto span = one();
    pushed.push_back(span->context().span);
    EXPECT_EQ(queue.push(std::move(span)), i == 2) << "told once, by the one that fills it";
    EXPECT_EQ(queue.has_batch(), i >= 2);
  }
  std::vector<SpanId> taken;
  auto take = [&] {
    const auto batch = queue.take();
    for (const auto& span : batch) taken.push_back(span->context().span);
    return batch.size();
  };
  EXPECT_EQ(take(), 3u);
  pushed.push_back({});
  auto span = one();
  pushed.back() = span->context().span;
  EXPECT_TRUE(queue.push(std::move(span)));
  EXPECT_EQ(take(), 3u);
  EXPECT_EQ(take(), 0u);
  EXPECT_EQ(taken, pushed);
}

TEST_F(Queued, WhatDoesNotFitIsDroppedAndCounted) {
  SpanQueue by_number({.spans = 3, .batch_spans = 3});
  for (int i = 0; i < 5; ++i) by_number.push(one());
  EXPECT_EQ(by_number.dropped(), 2u);
  EXPECT_EQ(by_number.take().size(), 3u);
  by_number.push(one());
  EXPECT_EQ(by_number.dropped(), 2u);

  SpanQueue by_bytes({.bytes = 100'000, .batch_bytes = 50'000});
  EXPECT_FALSE(by_bytes.push(one(40'000)));
  EXPECT_TRUE(by_bytes.push(one(40'000))) << "a batch by its bytes";
  EXPECT_FALSE(by_bytes.push(one(40'000)));
  EXPECT_EQ(by_bytes.dropped(), 1u);
  EXPECT_EQ(by_bytes.take().size(), 1u);
  EXPECT_EQ(by_bytes.take().size(), 1u);
  EXPECT_TRUE(by_bytes.push(one(60'000))) << "a batch alone";
  EXPECT_EQ(by_bytes.take().size(), 1u) << "one goes however large it is";
}

TEST_F(Queued, ManyPushWhileOneTakes) {
  constexpr int kThreads = 4, kEach = 2000;
  SpanQueue queue({.spans = 64, .batch_spans = 16});
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      KeptSpans own;
      Tracer tracer({.samples_per_million = Sampler::kMillion}, clock, own);
      for (int i = 0; i < kEach; ++i) {
        SpanPtr span = tracer.begin("put");
        span->set("thread", int64_t{t});
        span->set("number", int64_t{i});
        span.reset();
        queue.push(std::move(own.spans.back()));
        own.spans.clear();
      }
      running.fetch_sub(1);
    });
  }
  uint64_t taken = 0;
  std::vector<int64_t> last(kThreads, -1);
  for (bool over = false; !over;) {
    over = running.load() == 0;
    while (true) {
      const auto batch = queue.take();
      if (batch.empty()) break;
      EXPECT_LE(batch.size(), 16u);
      taken += batch.size();
      for (const auto& span : batch) {
        const auto thread = static_cast<size_t>(std::get<int64_t>(span->attributes()[0].value));
        const int64_t number = std::get<int64_t>(span->attributes()[1].value);
        EXPECT_GT(number, last[thread]);
        last[thread] = number;
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken + queue.dropped(), uint64_t{kThreads} * kEach);
}

}  // namespace
}  // namespace keelson::trace
