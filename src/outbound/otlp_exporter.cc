#include "outbound/otlp_exporter.h"

#include <chrono>
#include <optional>

#include "base/text.h"
#include "base/utf8.h"
#include "proto/rpc_status.pb.h"

namespace keelson::outbound {
namespace {

using opentelemetry::proto::collector::trace::v1::ExportTracePartialSuccess;
using opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse;
using opentelemetry::proto::collector::trace::v1::TraceService;
using What = trace::Sent::What;

// Of what a collector says.
constexpr size_t kMostText = 512;
constexpr int64_t kMostAnswer = 1 << 20;
constexpr size_t kMostDetails = 64 << 10;

std::string cut(std::string_view text) { return to_utf8(text.substr(0, kMostText)); }

// Nothing: the server does not say.
std::optional<Duration> pause_of(const grpc::Status& status) {
  const std::string details = status.error_details();
  google::rpc::Status said;
  if (details.size() > kMostDetails || !said.ParseFromString(details)) return std::nullopt;
  for (const google::protobuf::Any& detail : said.details()) {
    google::rpc::RetryInfo info;
    if (!detail.Is<google::rpc::RetryInfo>() || !detail.UnpackTo(&info)) continue;
    const auto& delay = info.retry_delay();
    constexpr int64_t kMost = 24 * 60 * 60;
    if (delay.seconds() < 0 || delay.nanos() < 0) return Duration(0);
    if (delay.seconds() >= kMost) return std::chrono::seconds(kMost);
    return std::chrono::seconds(delay.seconds()) + std::chrono::nanoseconds(delay.nanos());
  }
  return std::nullopt;
}

bool may_be_tried_again(grpc::StatusCode code, bool pause_is_named) {
  switch (code) {
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return pause_is_named;  // or it has run out of something for good
    default:
      return false;
  }
}

trace::Sent outcome(const grpc::Status& status, const ExportTraceServiceResponse& response) {
  if (status.ok()) {
    const ExportTracePartialSuccess& part = response.partial_success();
    return {.what = What::kTaken,
            .rejected = part.rejected_spans(),
            .error = cut(part.error_message())};
  }
  const std::optional<Duration> pause = pause_of(status);
  const bool again = may_be_tried_again(status.error_code(), pause.has_value());
  return {.what = again ? What::kTryAgain : What::kRefused,
          .pause = pause.value_or(Duration(0)),
          .error = cut(status.error_message())};
}

}  // namespace

absl::StatusOr<std::unique_ptr<OtlpExporter>> OtlpExporter::open(OtlpOptions options) {
  options.channel.max_receive_bytes = kMostAnswer;
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
      open_channel(options.address, options.channel);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<OtlpExporter>(new OtlpExporter(std::move(options), *std::move(channel)));
}

OtlpExporter::OtlpExporter(OtlpOptions options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)), stub_(TraceService::NewStub(std::move(channel))) {}

trace::Sent OtlpExporter::send(const trace::Batch& batch, Duration patience) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(patience));
  for (const auto& [name, value] : options_.headers) context.AddMetadata(name, value);
  if (options_.gzip) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  {
    std::lock_guard lock(mutex_);
    if (cancelled_) return {.what = What::kRefused, .error = "the member is about to end"};
    running_ = &context;
  }
  ExportTraceServiceResponse response;
  const grpc::Status status = stub_->Export(&context, to_otlp(options_.resource, batch), &response);
  std::lock_guard lock(mutex_);
  running_ = nullptr;
  return outcome(status, response);
}

void OtlpExporter::cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (running_) running_->TryCancel();
}

}  // namespace keelson::outbound
