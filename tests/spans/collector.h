// tests/spans/collector.h
//
// A collector of spans on grpc++, which keeps what it is sent, by trace, and writes a span as a
// line that tests can compare.
//
// Threads: any. Lifetime: of the server that answers.

#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proto/otlp_collector.grpc.pb.h"
#include "tests/harness/client.h"

namespace keelson::spans {

namespace otlp = opentelemetry::proto::trace::v1;

struct Received {
  otlp::Span span;
  std::string scope;     // its name and version
  std::string resource;  // its attributes
};

class Collector final : public opentelemetry::proto::collector::trace::v1::TraceService::Service {
 public:
  // "127.0.0.1:port"; port 0: a free one.
  explicit Collector(const std::string& address = "127.0.0.1:0");
  ~Collector() override;

  std::string address() const;
  // Waits until there are so many spans of the trace (its id in hex), or `patience` is over.
  std::vector<Received> trace(const std::string& id, size_t count,
                              harness::Milliseconds patience = harness::Milliseconds(20000));
  // Waits until one with this name and attribute ("key=k") has come, in whatever trace.
  std::vector<Received> any(const std::string& name, const std::string& attribute,
                            harness::Milliseconds patience = harness::Milliseconds(20000));
  size_t size();
  // Answers none from now on, until let_go().
  void hang();
  void let_go();

 private:
  grpc::Status Export(
      grpc::ServerContext* context,
      const opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest* request,
      opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse* response) override;

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<Received>> traces_;
  size_t size_ = 0;
  bool hangs_ = false;
};

// "key=text", "key=#1", "key=true".
std::vector<std::string> attributes_of(const otlp::Span& span);
std::string hex(const std::string& bytes);

// Of one trace: each span as
//   name < parent [attributes] (events) status
// where the parent is a name, "caller" for `caller`, or "-"; sorted by name.
std::vector<std::string> lines_of(const std::vector<Received>& spans, const std::string& caller);

}  // namespace keelson::spans
