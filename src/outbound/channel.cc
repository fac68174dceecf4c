#include "outbound/channel.h"

#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"

namespace keelson::outbound {
namespace {

using std::chrono::milliseconds;

// grpc-go raises shorter keepalive times to this; servers answer faster pings with GOAWAY.
constexpr milliseconds kMinKeepAlive{10000};

int in_milliseconds(Duration time) {
  return static_cast<int>(std::chrono::duration_cast<milliseconds>(time).count());
}

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
    return absl::InvalidArgumentError(cat("open ", path, ": no such file or directory"));
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct TlsMaterial {
  std::string cert, key, cacert;
  bool skip_verify = false;
};

absl::StatusOr<std::optional<TlsMaterial>> load_tls(const ChannelOptions& files) {
  bool any = !files.cert.empty() || !files.key.empty() || !files.cacert.empty();
  if (!any && files.insecure_transport && !files.skip_verify) return std::nullopt;
  if (files.cert.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(cat(
        "KeyFile and CertFile must both be present[key: ", files.key, ", cert: ", files.cert, "]"));
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
  // Else it asks for a certificate with the host's name all the same.
  options.set_certificate_verifier(std::make_shared<ge::NoOpCertificateVerifier>());
  if (!tls.cert.empty()) {
    std::vector<ge::IdentityKeyCertPair> pairs = {{tls.key, tls.cert}};
    options.set_certificate_provider(
        std::make_shared<ge::StaticDataCertificateProvider>(tls.cacert, pairs));
    options.watch_identity_key_cert_pairs();
  }
  return ge::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> open_channel(const std::string& endpoint,
                                                            const ChannelOptions& options) {
  absl::StatusOr<std::optional<TlsMaterial>> tls = load_tls(options);
  if (!tls.ok()) return tls.status();
  Target target = parse_endpoint(endpoint);
  bool secure = target.tls == Target::Tls::kRequired ||
                (target.tls == Target::Tls::kIfConfigured && tls->has_value());
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // each client has its own connections
  args.SetMaxSendMessageSize(-1);                      // whoever sends looks at that
  int64_t receive = options.max_receive_bytes;
  args.SetMaxReceiveMessageSize(receive > 0 ? static_cast<int>(receive) : -1);
  if (options.keepalive) {
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                in_milliseconds(std::max<Duration>(options.keepalive_time, kMinKeepAlive)));
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, in_milliseconds(options.keepalive_timeout));
    args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, options.keepalive_without_calls ? 1 : 0);
  }
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, in_milliseconds(options.longest_backoff));
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, in_milliseconds(options.connect_timeout));
  if (!options.user_agent.empty()) args.SetUserAgentPrefix(options.user_agent);
  if (!options.server_name.empty()) {
    args.SetSslTargetNameOverride(options.server_name);
  } else if (starts_with(target.address, "unix:")) {
    // On a socket in the file system it asks for the file, and the certificate has to name that (up
    // to a colon), as for etcdctl.
    std::string name = target.address.substr(target.address.find_last_of('/') + 1);
    if (starts_with(name, "unix:")) name = name.substr(5);
    args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, name);
  }
  return grpc::CreateCustomChannel(
      target.address,
      secure ? tls_credentials(tls->value_or(TlsMaterial{})) : grpc::InsecureChannelCredentials(),
      args);
}

}  // namespace keelson::outbound
