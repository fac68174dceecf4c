// outbound/otlp_exporter.h
//
// OtlpExporter sends spans to a collector by OTLP over gRPC. It connects when it first has some.
//
// Threads: send() one at a time; cancel() from any.
// Errors: what the protocol says may be tried again is said to be so, with the pause that the
//   collector asks for. A collector's words are cut: it is a stranger.
// Source: the OTLP specification (opentelemetry-proto/docs/specification.md), "OTLP/gRPC".

#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "outbound/channel.h"
#include "outbound/otlp_message.h"
#include "proto/otlp_collector.grpc.pb.h"
#include "trace/batcher.h"

namespace keelson::outbound {

struct OtlpOptions {
  std::string address;  // as for open_channel()
  ChannelOptions channel;
  Resource resource;
  // Metadata of every request; names in lower case.
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool gzip = false;
};

class OtlpExporter final : public trace::Exporter {
 public:
  // Errors: of open_channel().
  static absl::StatusOr<std::unique_ptr<OtlpExporter>> open(OtlpOptions options);

  trace::Sent send(const trace::Batch& batch, Duration patience) override;
  void cancel() override;

 private:
  OtlpExporter(OtlpOptions options, std::shared_ptr<grpc::Channel> channel);

  const OtlpOptions options_;
  const std::unique_ptr<opentelemetry::proto::collector::trace::v1::TraceService::Stub> stub_;
  std::mutex mutex_;
  grpc::ClientContext* running_ = nullptr;  // with the lock
  bool cancelled_ = false;                  // with the lock
};

}  // namespace keelson::outbound
