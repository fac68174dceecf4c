#include "ctl/client.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <array>
#include <fstream>
#include <sstream>
#include <thread>
#include <unordered_set>

#include "base/errors.h"
#include "base/text.h"
#include "proto/rpc.grpc.pb.h"

namespace keelson::ctl {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::system_clock;

constexpr int64_t kDefaultSendLimit = 2 * 1024 * 1024;
constexpr milliseconds kRetryPause{25};
constexpr milliseconds kConnectPoll{5};
// grpc-go raises shorter keepalive times to this; servers answer faster pings with GOAWAY.
constexpr milliseconds kMinKeepAlive{10000};

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

// --- where to connect ---

struct Target {
  std::string address;
  enum class Tls { kRequired, kNever, kIfConfigured } tls = Tls::kIfConfigured;
};

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

Target parse_endpoint(std::string_view endpoint) {
  using enum Target::Tls;
  if (starts_with(endpoint, "unix:") || starts_with(endpoint, "unixs:")) {
    auto tls = starts_with(endpoint, "unixs:") ? kRequired : kIfConfigured;
    std::string_view path = endpoint.substr(endpoint.find(':') + 1);
    if (starts_with(path, "//")) path.remove_prefix(2);
    return {cat("unix:", path), tls};
  }
  for (auto [scheme, tls] :
       {std::pair<std::string_view, Target::Tls>{"https://", kRequired}, {"http://", kNever}}) {
    if (!starts_with(endpoint, scheme)) continue;
    std::string_view rest = endpoint.substr(scheme.size());
    return {std::string(rest.substr(0, rest.find('/'))), tls};
  }
  return {std::string(endpoint), kIfConfigured};
}

absl::StatusOr<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return failure(ExitCode::kBadArgs, cat("open ", path, ": no such file or directory"));
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct TlsMaterial {
  std::string cert, key, cacert;
  bool skip_verify = false;
};

absl::StatusOr<std::optional<TlsMaterial>> load_tls(const Options& options) {
  const TlsFiles& files = options.tls;
  bool any = !files.cert.empty() || !files.key.empty() || !files.cacert.empty();
  if (!any && options.insecure_transport && !files.skip_verify) return std::nullopt;
  if (files.cert.empty() != files.key.empty()) {
    return failure(ExitCode::kBadArgs, cat("KeyFile and CertFile must both be present[key: ",
                                           files.key, ", cert: ", files.cert, "]"));
  }
  TlsMaterial material;
  material.skip_verify = files.skip_verify;
  for (auto [path, into] : {std::pair{&files.cert, &material.cert},
                            {&files.key, &material.key},
                            {&files.cacert, &material.cacert}}) {
    if (path->empty()) continue;
    auto text = read_file(*path);
    if (!text.ok()) return text.status();
    *into = *std::move(text);
  }
  return material;
}

std::shared_ptr<grpc::ChannelCredentials> tls_credentials(const TlsMaterial& tls) {
  if (!tls.skip_verify) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = tls.cacert;
    options.pem_cert_chain = tls.cert;
    options.pem_private_key = tls.key;
    return grpc::SslCredentials(options);
  }
  namespace ge = grpc::experimental;
  ge::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  if (!tls.cert.empty()) {
    std::vector<ge::IdentityKeyCertPair> pairs = {{tls.key, tls.cert}};
    options.set_certificate_provider(
        std::make_shared<ge::StaticDataCertificateProvider>(tls.cacert, pairs));
    options.watch_identity_key_cert_pairs();
  }
  return ge::TlsCredentials(options);
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& endpoint, const Options& options,
                                            const std::optional<TlsMaterial>& tls) {
  Target target = parse_endpoint(endpoint);
  bool secure = target.tls == Target::Tls::kRequired ||
                (target.tls == Target::Tls::kIfConfigured && tls.has_value());
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // each client has its own connections
  args.SetMaxSendMessageSize(-1);                      // our own check speaks as etcdctl does
  int64_t receive = options.max_receive_bytes;
  args.SetMaxReceiveMessageSize(receive > 0 ? static_cast<int>(receive) : -1);
  auto keepalive =
      std::max(std::chrono::duration_cast<milliseconds>(options.keepalive_time), kMinKeepAlive);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(keepalive.count()));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
              static_cast<int>(
                  std::chrono::duration_cast<milliseconds>(options.keepalive_timeout).count()));
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  // On a socket in the file system the certificate has to name the file, as for etcdctl.
  std::string name = options.tls.server_name;
  if (name.empty() && starts_with(target.address, "unix:")) {
    name = target.address.substr(target.address.find_last_of('/') + 1);
    if (starts_with(name, "unix:")) name = name.substr(5);
    name = name.substr(0, name.find(':'));
  }
  if (!name.empty()) args.SetSslTargetNameOverride(name);
  return grpc::CreateCustomChannel(
      target.address,
      secure ? tls_credentials(tls.value_or(TlsMaterial{})) : grpc::InsecureChannelCredentials(),
      args);
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

class GrpcClient final : public Client {
 public:
  GrpcClient(std::vector<std::shared_ptr<grpc::Channel>> channels, const Options& options)
      : channels_(std::move(channels)),
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

  // The first endpoint that is connected; with none by the deadline, the first of the list (whose
  // call then times out).
  std::shared_ptr<grpc::Channel> pick(Deadline deadline) {
    if (channels_.size() == 1) return channels_.front();
    while (!deadline.has_value() || Clock::now() < *deadline) {
      for (const auto& channel : channels_) {
        if (channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) return channel;
      }
      channels_.front()->WaitForStateChange(channels_.front()->GetState(true),
                                            Clock::now() + kConnectPoll);
    }
    return channels_.front();
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
    while (true) {
      auto context = make_context(deadline, false);
      Response response;
      grpc::Status status = invoke(pick(deadline), context.get(), &response);
      if (status.ok()) return response;
      bool again = kRepeatable<Request> && status.error_code() == grpc::UNAVAILABLE;
      if (!again) return to_status(status);
      if (deadline.has_value() && Clock::now() + kRetryPause >= *deadline) {
        return absl::DeadlineExceededError("context deadline exceeded");
      }
      std::this_thread::sleep_for(kRetryPause);
    }
  }

  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  const int64_t send_limit_;
  std::string token_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::connect(const Options& options) {
  auto tls = load_tls(options);
  if (!tls.ok()) return tls.status();
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const std::string& endpoint : options.endpoints) {
    channels.push_back(open_channel(endpoint, options, *tls));
  }
  if (channels.empty())
    return failure(ExitCode::kBadConnection, "etcdclient: no available endpoints");
  auto client = std::make_unique<GrpcClient>(std::move(channels), options);
  if (absl::Status status = client->authenticate(options); !status.ok()) return status;
  return client;
}

}  // namespace keelson::ctl
