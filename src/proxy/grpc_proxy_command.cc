#include "proxy/grpc_proxy_command.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "proxy/start_command.h"

namespace keelson::proxy {
namespace {

using ctl::Flag;
using ctl::FlagType;

std::vector<Flag> flags_towards_clients() {
  return {
      listen_flag(),
      {.name = "metrics-addr", .usage = "URL of a further listener for metrics and health alone"},
      {.name = "advertise-client-url",
       .default_value = "127.0.0.1:23790",
       .usage = "where clients reach the proxy; what it says its members' addresses are"},
      {.name = "resolver-prefix",
       .usage = "prefix of the keys by which proxies find each other, the same for all"},
      {.name = "resolver-ttl",
       .type = FlagType::kInt,
       .default_value = "0",
       .usage = "seconds after which a proxy that has gone is forgotten there"},
      {.name = "namespace", .usage = "prefix of all keys of clients in the cluster"},
      {.name = "cert-file", .usage = "certificate that clients are shown"},
      {.name = "key-file", .usage = "its key"},
      {.name = "trusted-ca-file", .usage = "CA bundle that clients must have certificates of"},
      {.name = "listen-cipher-suites",
       .type = FlagType::kStrings,
       .usage = "suites of TLS 1.2, separated by commas"},
      {.name = "auto-tls",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "TLS with a certificate of the proxy's own making"},
      {.name = "client-crl-file", .usage = "list of revoked client certificates"},
      {.name = "self-signed-cert-validity",
       .type = FlagType::kUint,
       .default_value = "1",
       .usage = "years for which such a certificate is valid"},
      {.name = "tls-min-version",
       .default_value = "TLS1.2",
       .usage = "the oldest TLS that clients may speak: TLS1.2 or TLS1.3"},
      {.name = "tls-max-version", .usage = "the newest: TLS1.2, TLS1.3 or, empty, what there is"},
      {.name = "data-dir",
       .default_value = "default.proxy",
       .usage = "where a certificate of --auto-tls is kept"},
      {.name = "grpc-keepalive-min-time",
       .type = FlagType::kDuration,
       .default_value = "5s",
       .usage = "the shortest time between a client's pings"},
      {.name = "grpc-keepalive-interval",
       .type = FlagType::kDuration,
       .default_value = "2h0m0s",
       .usage = "silence after which a client is pinged (0: never)"},
      {.name = "grpc-keepalive-timeout",
       .type = FlagType::kDuration,
       .default_value = "20s",
       .usage = "time that it then has to answer"},
      {.name = "max-concurrent-streams",
       .type = FlagType::kUint,
       .default_value = "4294967295",
       .usage = "streams that a client may have open at a time"},
      {.name = "enable-pprof",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "serve profiles at /debug/pprof/, where clients are accepted"},
      {.name = "experimental-enable-grpc-logging",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "write every call to the log"},
      {.name = "debug",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "write more to the log"}};
}

// Beside server_flags().
std::vector<Flag> flags_towards_the_cluster() {
  return {
      {.name = "endpoints-auto-sync-interval",
       .type = FlagType::kDuration,
       .default_value = "0s",
       .usage = "how often the cluster is asked who its members are (0: never)"},
      {.name = "cert", .usage = "certificate that the cluster's servers are shown"},
      {.name = "key", .usage = "its key"},
      {.name = "cacert", .usage = "CA bundle that the cluster's servers must have certificates of"},
      {.name = "insecure-skip-tls-verify",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "take whatever certificate the cluster's servers have; for tests"},
      {.name = "dial-keepalive-time",
       .type = FlagType::kDuration,
       .default_value = "0s",
       .usage = "silence after which a server is pinged (0: never)"},
      {.name = "dial-keepalive-timeout",
       .type = FlagType::kDuration,
       .default_value = "20s",
       .usage = "time that it then has to answer"},
      {.name = "permit-without-stream",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "ping servers while nothing is asked of them, too"},
      {.name = "max-send-bytes",
       .type = FlagType::kInt,
       .default_value = "1572864",
       .usage = "the longest message to the cluster (0: any)"},
      {.name = "max-recv-bytes",
       .type = FlagType::kInt,
       .default_value = "2147483647",
       .usage = "the longest message from it"},
      {.name = "experimental-serializable-ordering",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "serializable reads never see an older state than those before"},
      {.name = "experimental-leasing-prefix",
       .usage =
           "prefix of the keys by which proxies agree who answers linearizable reads, the same "
           "for all who write"}};
}

absl::StatusOr<std::optional<net::TlsVersion>> version_of(const std::string& flag,
                                                          const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "TLS1.2") return net::TlsVersion::kTls12;
  if (text == "TLS1.3") return net::TlsVersion::kTls13;
  return absl::InvalidArgumentError(cat(flag, " is invalid: unexpected TLS version \"", text,
                                        "\" (must be one of: TLS1.2, TLS1.3)"));
}

absl::Status check(const ctl::FlagSet& flags) {
  const std::string& prefix = flags.text("resolver-prefix");
  const int64_t ttl = flags.integer("resolver-ttl");
  const auto wrong = [](auto... what) { return absl::InvalidArgumentError(cat(what...)); };
  if (!prefix.empty() && ttl < 1) return wrong("invalid resolver-ttl ", ttl);
  if (prefix.empty() && ttl > 0) return wrong("invalid resolver-prefix \"\"");
  if (!prefix.empty() && flags.text("advertise-client-url").empty()) {
    return wrong("invalid advertise-client-url \"\"");
  }
  if (flags.boolean("auto-tls") && flags.natural("self-signed-cert-validity") == 0) {
    return wrong("selfSignedCertValidity is invalid,it should be greater than 0");
  }
  return absl::OkStatus();
}

absl::Status read_tls(const ctl::FlagSet& flags, net::TlsSettings* tls) {
  auto least = version_of("tls-min-version", flags.text("tls-min-version"));
  if (!least.ok()) return least.status();
  auto most = version_of("tls-max-version", flags.text("tls-max-version"));
  if (!most.ok()) return most.status();
  tls->cert_file = flags.text("cert-file");
  tls->key_file = flags.text("key-file");
  tls->trusted_ca_file = flags.text("trusted-ca-file");
  tls->crl_file = flags.text("client-crl-file");
  tls->cipher_suites = flags.strings("listen-cipher-suites");
  if (flags.find("listen-cipher-suites")->value.empty()) tls->cipher_suites.clear();
  tls->min_version = least->value_or(net::TlsVersion::kTls12);
  tls->max_version = *most;
  if (tls->max_version && tls->min_version > *tls->max_version) {
    return absl::InvalidArgumentError(cat("min version (", flags.text("tls-min-version"),
                                          ") is greater than max version (",
                                          flags.text("tls-max-version"), ")"));
  }
  if (tls->min_version == net::TlsVersion::kTls13 && !tls->cipher_suites.empty()) {
    return absl::InvalidArgumentError(
        "cipher suites cannot be configured when only TLS1.3 is enabled");
  }
  return absl::OkStatus();
}

absl::StatusOr<GrpcProxyConfig> config_of(const ctl::FlagSet& flags) {
  if (absl::Status s = check(flags); !s.ok()) return s;
  GrpcProxyConfig config;
  if (absl::Status s = read_tls(flags, &config.tls); !s.ok()) return s;
  config.listen_address = flags.text("listen-addr");
  config.metrics_url = flags.text("metrics-addr");
  config.endpoints = endpoints_of(flags);
  config.endpoints_sync = flags.duration("endpoints-auto-sync-interval");
  config.discovery = discovery_of(flags, "cacert");
  const Duration ping = flags.duration("dial-keepalive-time");
  config.channel = {.cert = flags.text("cert"),
                    .key = flags.text("key"),
                    .cacert = flags.text("cacert"),
                    .skip_verify = flags.boolean("insecure-skip-tls-verify"),
                    .keepalive = ping > Duration(0),
                    .keepalive_time = ping,
                    .keepalive_timeout = flags.duration("dial-keepalive-timeout"),
                    .keepalive_without_calls = flags.boolean("permit-without-stream"),
                    .max_receive_bytes = std::max<int64_t>(flags.integer("max-recv-bytes"), 0)};
  config.max_send_bytes =
      static_cast<size_t>(std::max<int64_t>(flags.integer("max-send-bytes"), 0));
  config.auto_tls = flags.boolean("auto-tls");
  config.self_signed_years = flags.natural("self-signed-cert-validity");
  config.data_dir = flags.text("data-dir");
  config.keepalive_min_time = flags.duration("grpc-keepalive-min-time");
  config.keepalive_interval = flags.duration("grpc-keepalive-interval");
  config.keepalive_timeout = flags.duration("grpc-keepalive-timeout");
  config.max_concurrent_streams = static_cast<uint32_t>(
      std::min<uint64_t>(flags.natural("max-concurrent-streams"), UINT32_MAX));
  config.pprof = flags.boolean("enable-pprof");
  config.log_calls = flags.boolean("experimental-enable-grpc-logging");
  config.advertise_url = flags.text("advertise-client-url");
  config.name_space = flags.text("namespace");
  config.resolver_prefix = flags.text("resolver-prefix");
  config.resolver_ttl = flags.integer("resolver-ttl");
  config.serializable_ordering = flags.boolean("experimental-serializable-ordering");
  config.leasing_prefix = flags.text("experimental-leasing-prefix");
  return config;
}

}  // namespace

ctl::Program grpc_proxy_program(RunGrpcProxy run) {
  ctl::Command start{.use = "start",
                     .brief = "Serve clients of the cluster, until a signal ends it"};
  start.flags = flags_towards_clients();
  for (Flag& flag : server_flags("the cluster's servers, separated by commas")) {
    start.flags.push_back(std::move(flag));
  }
  for (Flag& flag : flags_towards_the_cluster()) start.flags.push_back(std::move(flag));
  start.run = [run = std::move(run)](ctl::Invocation& in) -> absl::Status {
    absl::StatusOr<GrpcProxyConfig> config = config_of(in.flags);
    if (config.ok()) return run(in.console, *config, in.flags.boolean("debug"));
    in.console.err << message_of(config.status()) << "\n";
    return ctl::already_reported(1);
  };
  return program_of(
      {.use = "grpc-proxy <subcommand>",
       .brief = "A server of the API in front of a cluster, which asks it less often"},
      std::move(start));
}

}  // namespace keelson::proxy
