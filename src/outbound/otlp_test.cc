// Spans as messages, and what comes of sending them to collectors of every kind: good ones, busy
// ones, and such as are none.

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "outbound/otlp_exporter.h"
#include "outbound/otlp_message.h"
#include "proto/rpc_status.pb.h"
#include "trace/call_trace.h"
#include "trace/test_spans.h"

namespace keelson::outbound {
namespace {

namespace collector = opentelemetry::proto::collector::trace::v1;
namespace otlp = opentelemetry::proto::trace::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using trace::Sampler;
using trace::Sent;
using What = Sent::What;

constexpr Duration kPatience = seconds(20);

struct Otlp : testing::Test {
  trace::TestClock clock;
  trace::KeptSpans kept;
  trace::Tracer tracer{{.samples_per_million = Sampler::kMillion, .seed = {7, 8}}, clock, kept};

  trace::Batch one() {
    tracer.begin("compact").reset();
    return std::exchange(kept.spans, {});
  }
};

TEST_F(Otlp, AMessageSaysAllOfASpan) {
  clock.unix = seconds(1000);
  {
    auto call = trace::CallTrace::begin(
        tracer,
        {.name = "etcdserverpb.KV/Put",
         .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
         .tracestate = "vendor=1"},
        "127.0.0.1:2379");
    trace::Span& work = call->work("put");
    work.set("key", std::string_view("k\xff"));
    work.set("rev", int64_t{-5});
    work.set("prev_kv", true);
    clock.pass(milliseconds(1));
    call->proposed();
    clock.pass(milliseconds(1));
    call->finish(absl::UnavailableError("why \xff"));
  }
  const auto request = to_otlp({{"service.name", "etcd\xff"}}, kept.spans);
  const std::string expected = R"(
resource_spans {
  resource { attributes { key: "service.name" value { string_value: "etcd\357\277\275" } } }
  scope_spans {
    scope { name: "go.etcd.io/etcd" }
    spans {
      trace_id: "\n\367e\031\026\315C\335\204H\353!\034\2001\234"
      trace_state: "vendor=1" flags: 0x103 name: "put" kind: SPAN_KIND_INTERNAL
      start_time_unix_nano: 1000000000000 end_time_unix_nano: 1000002000000
      attributes { key: "key" value { string_value: "k\357\277\275" } }
      attributes { key: "rev" value { int_value: -5 } }
      attributes { key: "prev_kv" value { bool_value: true } }
      events { time_unix_nano: 1000001000000 name: "Send raft proposal" }
      events {
        time_unix_nano: 1000002000000 name: "exception"
        attributes { key: "exception.type" value { string_value: "*errors.errorString" } }
        attributes {
          key: "exception.message" value { string_value: "etcdserver: request cancelled" }
        }
      }
      status {}
    }
  }
  scope_spans {
    scope {
      name: "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
      version: "0.68.0"
    }
    spans {
      trace_id: "\n\367e\031\026\315C\335\204H\353!\034\2001\234"
      parent_span_id: "\267\255kqi 31" trace_state: "vendor=1" flags: 0x303
      name: "etcdserverpb.KV/Put" kind: SPAN_KIND_SERVER
      start_time_unix_nano: 1000000000000 end_time_unix_nano: 1000002000000
      attributes { key: "rpc.method" value { string_value: "etcdserverpb.KV/Put" } }
      attributes { key: "rpc.system.name" value { string_value: "grpc" } }
      attributes { key: "server.address" value { string_value: "127.0.0.1" } }
      attributes { key: "server.port" value { int_value: 2379 } }
      attributes {
        key: "rpc.response.status_code" value { string_value: "UNAVAILABLE" }
      }
      status { code: STATUS_CODE_ERROR message: "why \357\277\275" }
    }
  }
})";
  collector::ExportTraceServiceRequest wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(expected, &wanted));
  // The ids of spans are as they come.
  auto* spans = wanted.mutable_resource_spans(0)->mutable_scope_spans();
  ASSERT_EQ(request.resource_spans_size(), 1);
  ASSERT_EQ(request.resource_spans(0).scope_spans_size(), 2);
  const std::string call_id = request.resource_spans(0).scope_spans(1).spans(0).span_id();
  spans->at(0).mutable_spans(0)->set_span_id(
      request.resource_spans(0).scope_spans(0).spans(0).span_id());
  spans->at(0).mutable_spans(0)->set_parent_span_id(call_id);
  spans->at(1).mutable_spans(0)->set_span_id(call_id);
  EXPECT_EQ(call_id.size(), 8u);
  EXPECT_EQ(request.DebugString(), wanted.DebugString());
}

TEST_F(Otlp, TheFirstSpanOfATraceHasNoParent) {
  const auto request = to_otlp({}, one());
  const otlp::Span& span = request.resource_spans(0).scope_spans(0).spans(0);
  EXPECT_EQ(span.parent_span_id(), "");
  EXPECT_EQ(span.flags(), 0x101u);
  EXPECT_FALSE(request.resource_spans(0).has_resource());
}

// The wire is what the names and numbers of the schema say; of it those that everybody reads.
TEST_F(Otlp, FieldsHaveTheirNumbers) {
  collector::ExportTraceServiceRequest request;
  otlp::Span* span = request.add_resource_spans()->add_scope_spans()->add_spans();
  span->set_trace_id("t");
  span->set_span_id("s");
  span->set_trace_state("a=1");
  span->set_parent_span_id("p");
  span->set_name("n");
  span->set_kind(otlp::Span::SPAN_KIND_SERVER);
  span->set_start_time_unix_nano(1);
  span->set_end_time_unix_nano(2);
  span->add_attributes()->set_key("k");
  span->add_events()->set_name("e");
  span->mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
  span->set_flags(3);
  const std::string bytes(
      "\x0a\x01t\x12\x01s\x1a\x03"
      "a=1\x22\x01p\x2a\x01n\x30\x02\x39\1\0\0\0\0\0\0\0\x41\2\0\0\0\0\0\0\0"
      "\x4a\x03\x0a\x01k\x5a\x03\x12\x01"
      "e\x7a\x02\x18\x02\x85\x01\3\0\0\0",
      57);
  EXPECT_EQ(span->SerializeAsString(), bytes);
  EXPECT_EQ(request.SerializeAsString(), cat("\x0a\x3d\x12\x3b\x12\x39", bytes));
  EXPECT_EQ(collector::TraceService::service_full_name(),
            std::string("opentelemetry.proto.collector.trace.v1.TraceService"));
}

// A collector that answers as it is told to.
class Collector final : public collector::TraceService::Service {
 public:
  Collector() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Collector() override {
    let_go();
    server_->Shutdown(std::chrono::system_clock::now());
  }

  std::string address() const { return cat("127.0.0.1:", port_); }

  grpc::Status Export(grpc::ServerContext* context,
                      const collector::ExportTraceServiceRequest* request,
                      collector::ExportTraceServiceResponse* response) override {
    std::unique_lock lock(mutex_);
    requests.push_back(*request);
    for (const auto& [name, value] : context->client_metadata()) {
      metadata[{name.data(), name.size()}] = {value.data(), value.size()};
    }
    changed_.notify_all();
    while (hangs && !context->IsCancelled()) changed_.wait_for(lock, milliseconds(20));
    *response = answer;
    return status;
  }

  void let_go() {
    std::lock_guard lock(mutex_);
    hangs = false;
    changed_.notify_all();
  }
  bool wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(30), [&] { return requests.size() >= count; });
  }

  std::vector<collector::ExportTraceServiceRequest> requests;
  std::map<std::string, std::string> metadata;
  collector::ExportTraceServiceResponse answer;
  grpc::Status status;
  bool hangs = false;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

std::unique_ptr<OtlpExporter> exporter(const std::string& address, OtlpOptions options = {}) {
  options.address = address;
  absl::StatusOr<std::unique_ptr<OtlpExporter>> made = OtlpExporter::open(std::move(options));
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

TEST_F(Otlp, ACollectorTakesWhatItGets) {
  Collector collector;
  auto sender =
      exporter(collector.address(), {.channel = {.user_agent = "OTel-OTLP-Exporter-Keelson/1"},
                                     .resource = {{"service.name", "etcd"}},
                                     .headers = {{"authorization", "Bearer x"}},
                                     .gzip = true});
  const trace::Batch batch = one();
  for (int i = 0; i < 2; ++i) {
    const Sent sent = sender->send(batch, kPatience);
    EXPECT_EQ(sent.what, What::kTaken) << sent.error;
    EXPECT_EQ(sent.rejected, 0);
    EXPECT_EQ(sent.error, "");
  }
  ASSERT_EQ(collector.requests.size(), 2u);
  EXPECT_EQ(collector.requests[1].SerializeAsString(),
            to_otlp({{"service.name", "etcd"}}, batch).SerializeAsString());
  EXPECT_EQ(collector.metadata["authorization"], "Bearer x");
  EXPECT_THAT(collector.metadata["user-agent"],
              testing::StartsWith("OTel-OTLP-Exporter-Keelson/1 grpc-c++/"));
}

TEST_F(Otlp, PartialSuccessIsToldAndCut) {
  Collector collector;
  collector.answer.mutable_partial_success()->set_rejected_spans(3);
  collector.answer.mutable_partial_success()->set_error_message(std::string(100'000, 'e'));
  const Sent sent = exporter(collector.address())->send(one(), kPatience);
  EXPECT_EQ(sent.what, What::kTaken);
  EXPECT_EQ(sent.rejected, 3);
  EXPECT_EQ(sent.error, std::string(512, 'e'));
}

grpc::Status with_pause(grpc::StatusCode code, int64_t pause_seconds, int32_t nanos) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(pause_seconds);
  info.mutable_retry_delay()->set_nanos(nanos);
  google::rpc::Status details;
  details.add_details()->PackFrom(google::protobuf::Duration());  // something else
  details.add_details()->PackFrom(info);
  return {code, "busy", details.SerializeAsString()};
}

TEST_F(Otlp, ErrorsAreForLaterOrForGood) {
  Collector collector;
  auto sender = exporter(collector.address());
  using enum grpc::StatusCode;
  for (int code = 1; code <= 16; ++code) {
    const auto as_code = static_cast<grpc::StatusCode>(code);
    collector.status = grpc::Status(as_code, "why");
    const Sent sent = sender->send(one(), kPatience);
    const bool later = as_code == CANCELLED || as_code == DEADLINE_EXCEEDED || as_code == ABORTED ||
                       as_code == OUT_OF_RANGE || as_code == UNAVAILABLE || as_code == DATA_LOSS;
    EXPECT_EQ(sent.what, later ? What::kTryAgain : What::kRefused) << code;
    EXPECT_EQ(sent.error, "why");
    EXPECT_EQ(sent.pause, Duration(0));
  }
  collector.status = with_pause(RESOURCE_EXHAUSTED, 2, 500'000'000);
  Sent sent = sender->send(one(), kPatience);
  EXPECT_EQ(sent.what, What::kTryAgain) << "it says when there is room again";
  EXPECT_EQ(sent.pause, milliseconds(2500));
  collector.status = with_pause(UNAVAILABLE, INT64_MAX, 0);
  EXPECT_EQ(sender->send(one(), kPatience).pause, seconds(24 * 60 * 60));
  collector.status = with_pause(UNAVAILABLE, -1, -1);
  EXPECT_EQ(sender->send(one(), kPatience).pause, Duration(0));
  collector.status = with_pause(INTERNAL, 1, 0);
  EXPECT_EQ(sender->send(one(), kPatience).what, What::kRefused);
  collector.status = grpc::Status(RESOURCE_EXHAUSTED, "why", "no\xffmessage");
  EXPECT_EQ(sender->send(one(), kPatience).what, What::kRefused);
}

TEST_F(Otlp, AnotherServicesServerRefuses) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  collector::TraceService::Service unimplemented;
  builder.RegisterService(&unimplemented);
  auto server = builder.BuildAndStart();
  const Sent sent = exporter(cat("127.0.0.1:", port))->send(one(), kPatience);
  EXPECT_EQ(sent.what, What::kRefused);
  server->Shutdown(std::chrono::system_clock::now());
}

// A port, and what is said there to whoever connects.
class Stranger {
 public:
  explicit Stranger(std::string says) : says_(std::move(says)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Stranger() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
    for (int fd : open_) ::close(fd);
  }
  std::string address() const { return cat("127.0.0.1:", port_); }

 private:
  void serve() {
    for (int fd; (fd = ::accept(fd_, nullptr, nullptr)) >= 0; open_.push_back(fd)) {
      if (!says_.empty()) {
        EXPECT_EQ(::send(fd, says_.data(), says_.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(says_.size()));
      }
    }
  }

  const std::string says_;
  int fd_ = -1;
  int port_ = 0;
  std::vector<int> open_;
  std::thread thread_;
};

TEST_F(Otlp, WhoIsNoCollectorHarmsNobody) {
  const std::string garbage(100'000, '\xa5');
  for (const std::string& says : {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), garbage}) {
    Stranger stranger(says);
    const Sent sent = exporter(stranger.address())->send(one(), kPatience);
    EXPECT_EQ(sent.what, What::kTryAgain) << sent.error;
    EXPECT_NE(sent.error, "");
  }
}

TEST_F(Otlp, NobodyThereIsForLater) {
  std::string address;
  { address = Stranger("").address(); }
  const Sent sent = exporter(address)->send(one(), kPatience);
  EXPECT_EQ(sent.what, What::kTryAgain);
}

TEST_F(Otlp, PatienceIsAllThereIs) {
  Stranger silent("");
  EXPECT_EQ(exporter(silent.address())->send(one(), milliseconds(50)).what, What::kTryAgain);
  Collector collector;
  collector.hangs = true;
  EXPECT_EQ(exporter(collector.address())->send(one(), milliseconds(50)).what, What::kTryAgain);
}

TEST_F(Otlp, CancelEndsWhatIsUnderWayAndWhatFollows) {
  Collector collector;
  collector.hangs = true;
  auto sender = exporter(collector.address());
  std::thread canceller([&] {
    EXPECT_TRUE(collector.wait_for(1));
    sender->cancel();
  });
  EXPECT_EQ(sender->send(one(), std::chrono::hours(1)).what, What::kTryAgain);
  canceller.join();
  EXPECT_EQ(sender->send(one(), std::chrono::hours(1)).what, What::kRefused);
}

TEST_F(Otlp, FilesThatAreNotThereAreRefused) {
  EXPECT_FALSE(
      OtlpExporter::open({.address = "localhost:4317", .channel = {.cacert = "/no/such/file"}})
          .ok());
}

}  // namespace
}  // namespace keelson::outbound
