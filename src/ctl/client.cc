#include "ctl/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <thread>
#include <unordered_set>

#include "base/errors.h"
#include "base/text.h"
#include "outbound/channel.h"
#include "proto/rpc.grpc.pb.h"

namespace keelson::ctl {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::system_clock;

constexpr int64_t kDefaultSendLimit = 2 * 1024 * 1024;
constexpr milliseconds kRetryPause{25};
constexpr int kMostTries = 100;  // as etcd's client
constexpr milliseconds kConnectPoll{5};
constexpr milliseconds kReasonPatience{200};

std::string_view code_name(grpc::StatusCode code) {
  constexpr std::array<std::string_view, 17> kNames = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  auto at = static_cast<size_t>(code);
  return at < kNames.size() ? kNames[at] : "Unknown";
}

bool is_etcd_text(const std::string& message) {
  static const std::unordered_set<std::string> texts = {
#define KEELCTL_TEXT(name, code, text) text,
      KEELSON_ETCD_ERRORS(KEELCTL_TEXT)
#undef KEELCTL_TEXT
  };
  return texts.contains(message);
}

absl::Status to_status(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  auto code = static_cast<absl::StatusCode>(status.error_code());
  std::string text = status.error_message();
  if (is_etcd_text(text)) return absl::Status(code, text);
  if (status.error_code() == grpc::DEADLINE_EXCEEDED) {
    return absl::Status(code, "context deadline exceeded");
  }
  return absl::Status(code,
                      cat("rpc error: code = ", code_name(status.error_code()), " desc = ", text));
}

// --- streams ---

template <typename Request, typename Response>
class GrpcDuplex final : public Duplex<Request, Response> {
 public:
  using Stream = grpc::ClientReaderWriter<Request, Response>;
  GrpcDuplex(std::unique_ptr<grpc::ClientContext> context, std::unique_ptr<Stream> stream)
      : context_(std::move(context)), stream_(std::move(stream)) {}
  ~GrpcDuplex() override { context_->TryCancel(); }

  bool write(const Request& request) override { return stream_->Write(request); }
  bool read(Response* response) override { return stream_->Read(response); }
  absl::Status finish() override { return to_status(stream_->Finish()); }
  void cancel() override { context_->TryCancel(); }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
};

template <typename Response>
class GrpcSource final : public Source<Response> {
 public:
  using Stream = grpc::ClientReader<Response>;
  GrpcSource(std::unique_ptr<grpc::ClientContext> context, std::unique_ptr<Stream> stream)
      : context_(std::move(context)), stream_(std::move(stream)) {}
  ~GrpcSource() override { context_->TryCancel(); }

  bool read(Response* response) override { return stream_->Read(response); }
  absl::Status finish() override { return to_status(stream_->Finish()); }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
};

// --- which answers of "unavailable" are worth another try ---

template <typename Request>
constexpr bool kRepeatable = false;
template <>
constexpr bool kRepeatable<pb::RangeRequest> = true;
template <>
constexpr bool kRepeatable<pb::MemberListRequest> = true;
template <>
constexpr bool kRepeatable<pb::LeaseTimeToLiveRequest> = true;
template <>
constexpr bool kRepeatable<pb::LeaseLeasesRequest> = true;
template <>
constexpr bool kRepeatable<pb::StatusRequest> = true;
template <>
constexpr bool kRepeatable<pb::HashKVRequest> = true;

std::optional<Clock::time_point> deadline_after(Timeout timeout) {
  if (!timeout.has_value()) return std::nullopt;
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(*timeout);
}

struct Endpoint {
  std::string name;
  std::shared_ptr<grpc::Channel> channel;
};

class GrpcClient final : public Client {
 public:
  GrpcClient(std::vector<Endpoint> endpoints, const Options& options)
      : endpoints_(std::move(endpoints)),
        warn_(options.warn),
        send_limit_(options.max_request_bytes > 0 ? options.max_request_bytes : kDefaultSendLimit) {
  }

  absl::Status authenticate(const Options& options) {
    if (!options.credentials.has_value()) return absl::OkStatus();
    const Credentials& given = *options.credentials;
    token_ = given.token;
    if (!token_.empty() || given.user.empty() || given.password.empty()) return absl::OkStatus();
    pb::AuthenticateRequest request;
    request.set_name(given.user);
    request.set_password(given.password);
    auto response = call(request, options.dial_timeout);
    if (!response.ok()) {
      bool off = message_of(response.status()) == message_of(errors::AuthNotEnabled());
      return off ? absl::OkStatus() : with_exit_code(response.status(), ExitCode::kBadConnection);
    }
    token_ = response->token();
    return absl::OkStatus();
  }

#define KEELCTL_DEFINE(service, rpc, request, response)                                  \
  absl::StatusOr<pb::response> call(const pb::request& req, Timeout timeout) override {  \
    return unary<pb::response>(req, timeout,                                             \
                               [&](auto channel, grpc::ClientContext* c, auto* out) {    \
                                 return pb::service::NewStub(channel)->rpc(c, req, out); \
                               });                                                       \
  }
  KEELCTL_UNARY_RPCS(KEELCTL_DEFINE)
#undef KEELCTL_DEFINE

  std::unique_ptr<WatchStream> watch() override {
    auto context = make_context(std::nullopt, /*require_leader=*/true);
    auto stream = pb::Watch::NewStub(pick(std::nullopt))->Watch(context.get());
    return std::make_unique<GrpcDuplex<pb::WatchRequest, pb::WatchResponse>>(std::move(context),
                                                                             std::move(stream));
  }

  std::unique_ptr<KeepAliveStream> keep_alive(bool require_leader) override {
    auto context = make_context(std::nullopt, require_leader);
    auto stream = pb::Lease::NewStub(pick(std::nullopt))->LeaseKeepAlive(context.get());
    return std::make_unique<GrpcDuplex<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>>(
        std::move(context), std::move(stream));
  }

  std::unique_ptr<Source<pb::SnapshotResponse>> snapshot(Timeout timeout) override {
    auto deadline = deadline_after(timeout);
    auto context = make_context(deadline, false);
    auto stream = pb::Maintenance::NewStub(pick(deadline))->Snapshot(context.get(), {});
    return std::make_unique<GrpcSource<pb::SnapshotResponse>>(std::move(context),
                                                              std::move(stream));
  }

  std::unique_ptr<Source<pb::RangeStreamResponse>> range_stream(const pb::RangeRequest& request,
                                                                Timeout timeout) override {
    auto deadline = deadline_after(timeout);
    auto context = make_context(deadline, false);
    auto stream = pb::KV::NewStub(pick(deadline))->RangeStream(context.get(), request);
    return std::make_unique<GrpcSource<pb::RangeStreamResponse>>(std::move(context),
                                                                 std::move(stream));
  }

 private:
  using Deadline = std::optional<Clock::time_point>;

  std::unique_ptr<grpc::ClientContext> make_context(Deadline deadline, bool require_leader) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_wait_for_ready(true);
    if (deadline.has_value()) context->set_deadline(*deadline);
    if (!token_.empty()) context->AddMetadata("token", token_);
    if (require_leader) context->AddMetadata("hasleader", "true");
    return context;
  }

  // The next of them that is connected; with none by the deadline, the first (whose call then
  // times out).
  std::shared_ptr<grpc::Channel> pick(Deadline deadline) {
    if (endpoints_.size() == 1) return endpoints_.front().channel;
    while (!deadline.has_value() || Clock::now() < *deadline) {
      for (size_t i = 0; i < endpoints_.size(); ++i) {
        const auto& channel = endpoints_[(next_ + i) % endpoints_.size()].channel;
        if (channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) {
          next_ = (next_ + i) % endpoints_.size();
          return channel;
        }
      }
      const auto& first = endpoints_.front().channel;
      first->WaitForStateChange(first->GetState(true), Clock::now() + kConnectPoll);
    }
    return endpoints_.front().channel;
  }

  // A call that waits for a connection says only that it has waited; one that does not, why there
  // is none.
  void warn_of_unreachable() {
    if (!warn_) return;
    for (const Endpoint& endpoint : endpoints_) {
      if (endpoint.channel->GetState(false) == GRPC_CHANNEL_READY) continue;
      grpc::ClientContext context;
      context.set_deadline(Clock::now() + kReasonPatience);
      pb::StatusResponse response;
      const grpc::Status status =
          pb::Maintenance::NewStub(endpoint.channel)->Status(&context, {}, &response);
      if (status.error_code() != grpc::UNAVAILABLE) continue;
      warn_(cat("no connection to ", endpoint.name, ": ", status.error_message()));
    }
  }

  template <typename Response, typename Request, typename Call>
  absl::StatusOr<Response> unary(const Request& request, Timeout timeout, Call&& invoke) {
    auto size = static_cast<int64_t>(request.ByteSizeLong());
    if (size > send_limit_) {
      return absl::ResourceExhaustedError(
          cat("rpc error: code = ResourceExhausted desc = trying to send message larger than max (",
              size, " vs. ", send_limit_, ")"));
    }
    Deadline deadline = deadline_after(timeout);
    for (int tries = 1;; ++tries) {
      auto context = make_context(deadline, false);
      Response response;
      grpc::Status status = invoke(pick(deadline), context.get(), &response);
      if (status.ok()) return response;
      // A learner has done nothing with what it refuses; one of the others may be a voter.
      bool again = (kRepeatable<Request> && status.error_code() == grpc::UNAVAILABLE) ||
                   (endpoints_.size() > 1 &&
                    status.error_message() == message_of(errors::NotSupportedForLearner()));
      if (status.error_code() == grpc::DEADLINE_EXCEEDED) warn_of_unreachable();
      if (!again || tries == kMostTries) return to_status(status);
      next_ = (next_ + 1) % endpoints_.size();
      if (deadline.has_value() && Clock::now() + kRetryPause >= *deadline) {
        return absl::DeadlineExceededError("context deadline exceeded");
      }
      std::this_thread::sleep_for(kRetryPause);
    }
  }

  std::vector<Endpoint> endpoints_;
  const std::function<void(std::string_view)> warn_;
  size_t next_ = 0;  // < endpoints_.size(): where pick() begins to look
  const int64_t send_limit_;
  std::string token_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::connect(const Options& options) {
  const outbound::ChannelOptions how{.cert = options.tls.cert,
                                     .key = options.tls.key,
                                     .cacert = options.tls.cacert,
                                     .server_name = options.tls.server_name,
                                     .skip_verify = options.tls.skip_verify,
                                     .insecure_transport = options.insecure_transport,
                                     .keepalive_time = options.keepalive_time,
                                     .keepalive_timeout = options.keepalive_timeout,
                                     .max_receive_bytes = options.max_receive_bytes};
  std::vector<Endpoint> endpoints;
  for (const std::string& endpoint : options.endpoints) {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = outbound::open_channel(endpoint, how);
    if (!channel.ok()) return with_exit_code(channel.status(), ExitCode::kBadArgs);
    endpoints.push_back({endpoint, *std::move(channel)});
  }
  if (endpoints.empty())
    return failure(ExitCode::kBadConnection, "etcdclient: no available endpoints");
  // Members share the load of many short commands: which of those that answer is asked first is
  // chance.
  std::shuffle(endpoints.begin(), endpoints.end(), std::mt19937(std::random_device{}()));
  auto client = std::make_unique<GrpcClient>(std::move(endpoints), options);
  if (absl::Status status = client->authenticate(options); !status.ok()) return status;
  return client;
}

}  // namespace keelson::ctl
