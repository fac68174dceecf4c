// What flags and variables of the environment make of tracing, and that its end is bounded.

#include "server/tracing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/quiet_log.h"
#include "base/text.h"

namespace keelson::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TracingSettings settings(const std::map<std::string, std::string>& environment,
                         const TracingConfig& config = {}) {
  return tracing_settings(config, [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  });
}

TEST(TracingSettings, FlagsAlone) {
  const TracingSettings made = settings({});
  EXPECT_EQ(made.collector.address, "localhost:4317");
  EXPECT_THAT(made.collector.resource, ElementsAre(Pair("service.name", "etcd")));
  EXPECT_THAT(made.collector.headers, IsEmpty());
  EXPECT_FALSE(made.collector.gzip);
  EXPECT_EQ(made.collector.channel.cacert, "");
  EXPECT_EQ(made.batches.queue.spans, 2048u);
  EXPECT_EQ(made.batches.queue.batch_spans, 512u);
  EXPECT_EQ(made.batches.delay, seconds(5));
  EXPECT_EQ(made.batches.patience, seconds(10));

  const TracingSettings named =
      settings({}, {.address = "collector:1", .service_name = "mine", .instance_id = "member-1"});
  EXPECT_EQ(named.collector.address, "collector:1");
  EXPECT_THAT(named.collector.resource,
              ElementsAre(Pair("service.instance.id", "member-1"), Pair("service.name", "mine")));
}

TEST(TracingSettings, TheResourceHasMoreButFlagsWin) {
  const TracingSettings made = settings(
      {{"OTEL_RESOURCE_ATTRIBUTES",
        " k8s.pod.name = etcd-0 ,service.name=other,no equals,=empty,a=b%20c%2Cd,bad=%zz,bad2=%4"},
       {"OTEL_SERVICE_NAME", "other"}});
  EXPECT_THAT(made.collector.resource,
              ElementsAre(Pair("a", "b c,d"), Pair("bad", "%zz"), Pair("bad2", "%4"),
                          Pair("k8s.pod.name", "etcd-0"), Pair("service.name", "etcd")));
}

TEST(TracingSettings, TheCollectorsOwn) {
  const TracingSettings made =
      settings({{"OTEL_EXPORTER_OTLP_HEADERS", "not=this"},
                {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Bearer%20x, x-scope = 1 ,bad"},
                {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"},
                {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"},
                {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c.pem"},
                {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k.pem"},
                {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:1"}});
  EXPECT_THAT(made.collector.headers,
              ElementsAre(Pair("authorization", "Bearer x"), Pair("x-scope", "1")));
  EXPECT_TRUE(made.collector.gzip);
  EXPECT_EQ(made.batches.patience, milliseconds(2500));
  EXPECT_EQ(made.collector.channel.cacert, "/ca.pem");
  EXPECT_EQ(made.collector.channel.cert, "/c.pem");
  EXPECT_EQ(made.collector.channel.key, "/k.pem");
  EXPECT_EQ(made.collector.address, "localhost:4317") << "the flag's";
}

TEST(TracingSettings, WhatNoMetadataCanHaveIsLeftOut) {
  EXPECT_THAT(settings({{"OTEL_EXPORTER_OTLP_HEADERS",
                         "te=x,grpc-timeout=1S,content-type=x,user-agent=x,a-bin=x,b c=x,=x,"
                         "d=%0a,e=%ff,\xff=x,good=yes"}})
                  .collector.headers,
              ElementsAre(Pair("good", "yes")));
}

TEST(TracingSettings, Batches) {
  const TracingSettings made = settings({{"OTEL_BSP_MAX_QUEUE_SIZE", "100"},
                                         {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"},
                                         {"OTEL_BSP_SCHEDULE_DELAY", "100"},
                                         {"OTEL_BSP_EXPORT_TIMEOUT", "3000"}});
  EXPECT_EQ(made.batches.queue.spans, 100u);
  EXPECT_EQ(made.batches.queue.batch_spans, 100u) << "no more than the queue holds";
  EXPECT_EQ(made.batches.delay, milliseconds(100));
  EXPECT_EQ(made.batches.patience, seconds(3));
  for (const char* nonsense : {"0", "-1", "x", "1x", "99999999999999999999999"}) {
    const TracingSettings usual = settings({{"OTEL_BSP_MAX_QUEUE_SIZE", nonsense},
                                            {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", nonsense},
                                            {"OTEL_BSP_SCHEDULE_DELAY", nonsense},
                                            {"OTEL_EXPORTER_OTLP_TIMEOUT", nonsense}});
    EXPECT_EQ(usual.batches.queue.spans, 2048u) << nonsense;
    EXPECT_EQ(usual.batches.queue.batch_spans, 512u) << nonsense;
    EXPECT_EQ(usual.batches.delay, seconds(5)) << nonsense;
    EXPECT_EQ(usual.batches.patience, seconds(10)) << nonsense;
  }
  const TracingSettings large = settings({{"OTEL_BSP_MAX_QUEUE_SIZE", "1000000000000"},
                                          {"OTEL_BSP_SCHEDULE_DELAY", "1000000000000000"}});
  EXPECT_EQ(large.batches.queue.spans, size_t{1} << 20);
  EXPECT_EQ(large.batches.delay, std::chrono::hours(24));
}

// To nobody: spans end, and so does it.
TEST(Tracing, EndsWithoutACollector) {
  const log::QuietLog quiet;
  const SystemClock clock;
  absl::StatusOr<std::unique_ptr<Tracing>> tracing = Tracing::start(
      {.enabled = true, .address = "127.0.0.1:1", .samples_per_million = 1'000'000}, clock, 1);
  ASSERT_TRUE(tracing.ok()) << tracing.status();
  for (int i = 0; i < 100; ++i) (*tracing)->tracer().begin("compact").reset();
  (*tracing)->begin_close(seconds(30));
  (*tracing)->finish_close();
  EXPECT_EQ((*tracing)->counts().failed, 100u);
  (*tracing)->tracer().begin("compact").reset();  // late ones are dropped
}

}  // namespace
}  // namespace keelson::server
