// Spans of gRPC's calls, as they come off the wire: which calls have one, whose it is, and when it
// ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "net/listener.h"
#include "net/test_client.h"
#include "net/test_service.h"
#include "trace/test_spans.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;
using test::Client;
using test::framed;
using test::request;
using testing::ElementsAre;

constexpr char kSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kNotSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

class CallTraceTest : public testing::Test {
 protected:
  static ListenerOptions traced(trace::Tracer* tracer) {
    ListenerOptions options;
    options.tracer = tracer;
    return options;
  }
  // "name: status", in the order of their ends.
  std::vector<std::string> ended() const {
    std::vector<std::string> out;
    for (const auto& span : kept_.spans) {
      const trace::Attribute& last = span->attributes().back();
      EXPECT_EQ(last.key, "rpc.response.status_code");
      out.push_back(cat(span->start().name, ": ", std::get<std::string>(last.value)));
    }
    return out;
  }

  trace::TestClock clock_;
  trace::KeptSpans kept_;
  trace::Tracer tracer_{{.samples_per_million = trace::Sampler::kMillion}, clock_, kept_};
  TestService service_;
  MemoryServer<Http2Session> server_{&service_.router, traced(&tracer_)};
};

TEST_F(CallTraceTest, ACallHasASpanUntilItIsAnswered) {
  Client client(&server_);
  client.send(request("/test.Echo/Unary"), framed("hello"));
  client.exchange();
  EXPECT_THAT(ended(), ElementsAre("test.Echo/Unary: OK"));
  client.send(request("/test.Echo/Unary", {{"fail-bin", "NSB3aHk="}}), framed("x"));  // "5 why"
  client.exchange();
  EXPECT_EQ(ended().back(), "test.Echo/Unary: NOT_FOUND");
}

TEST_F(CallTraceTest, ItIsUnderItsCaller) {
  Client client(&server_);
  client.send(request("/test.Echo/Unary", {{"traceparent", kSampled},
                                           {"tracestate", "vendor=1"},
                                           {"traceparent", kNotSampled}}),
              framed("x"));
  client.send(request("/test.Echo/Unary", {{"traceparent", kNotSampled}}), framed("x"));
  client.exchange();
  ASSERT_EQ(kept_.spans.size(), 1u);
  const trace::Span& span = *kept_.spans[0];
  EXPECT_EQ(span.start().parent, trace::SpanId{0xb7ad6b7169203331});
  EXPECT_EQ(span.context().trace, (trace::TraceId{0x0af7651916cd43dd, 0x8448eb211c80319c}));
  EXPECT_EQ(span.context().state.view(), "vendor=1");
}

TEST_F(CallTraceTest, WhatIsNoCallHasNone) {
  Client client(&server_);
  client.send(request("/no.Such/Thing"), framed("x"));
  client.send(request("/test.Echo/Unary", {{"grpc-timeout", "x"}}), framed("x"));
  client.exchange();
  EXPECT_TRUE(kept_.spans.empty());
  client.send(request("/test.Echo/Unary", {{"grpc-encoding", "lzw"}}), framed("x"));
  client.exchange();
  EXPECT_THAT(ended(), ElementsAre("test.Echo/Unary: UNIMPLEMENTED"));
}

TEST_F(CallTraceTest, AStreamsSpanIsAsLongAsIt) {
  Client client(&server_);
  const int32_t id = client.send(request("/test.Echo/Stream"), framed("a"), true);
  client.exchange();
  clock_.pass(milliseconds(250));
  EXPECT_TRUE(kept_.spans.empty());
  client.add(id, framed("finish"), true);
  client.exchange();
  EXPECT_THAT(ended(), ElementsAre("test.Echo/Stream: OK"));
  EXPECT_EQ(kept_.spans[0]->ended() - kept_.spans[0]->began(), milliseconds(250));
}

TEST_F(CallTraceTest, EveryEndIsAnEnd) {
  Client client(&server_);
  client.send(request("/test.Echo/Unary", {{"grpc-timeout", "100m"}, {"hang", "1"}}), framed("x"));
  client.exchange();
  server_.advance(milliseconds(200));
  client.exchange();
  EXPECT_THAT(ended(), ElementsAre("test.Echo/Unary: DEADLINE_EXCEEDED"));

  const int32_t without_message = client.send(request("/test.Echo/Unary"), "", true);
  const int32_t stream = client.send(request("/test.Echo/Stream"), framed("a"), true);
  client.exchange();
  for (int32_t id : {without_message, stream}) client.reset(id);
  client.exchange();
  EXPECT_THAT(ended(), ElementsAre("test.Echo/Unary: DEADLINE_EXCEEDED",
                                   "test.Echo/Unary: CANCELLED", "test.Echo/Stream: CANCELLED"));

  client.send(request("/test.Echo/Unary", {{"hang", "1"}}), framed("x"));
  client.exchange();
  server_.close();
  EXPECT_EQ(ended().size(), 4u);
  EXPECT_EQ(ended().back(), "test.Echo/Unary: CANCELLED");
  service_.unary.forget();
  EXPECT_EQ(ended().size(), 4u);
}

// Of one call nothing is left for the next one that uses its memory.
TEST_F(CallTraceTest, WithoutATracerThereIsNothing) {
  Client traced_client(&server_);
  traced_client.send(request("/test.Echo/Unary"), framed("x"));
  traced_client.exchange();
  ASSERT_EQ(kept_.spans.size(), 1u);
  MemoryServer<Http2Session> other(&service_.router);
  Client client(&other);
  client.send(request("/test.Echo/Unary", {{"traceparent", kSampled}}), framed("x"));
  client.exchange();
  EXPECT_EQ(kept_.spans.size(), 1u);
}

}  // namespace
}  // namespace keelson::net
