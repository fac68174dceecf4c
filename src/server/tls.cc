#include "server/tls.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/text.h"
#include "net/tls/self_signed.h"
#include "server/tls_rules.h"

namespace keelson::server {
namespace {

std::optional<net::TlsVersion> version_of(const std::string& text) {
  if (text == "TLS1.2") return net::TlsVersion::kTls12;
  if (text == "TLS1.3") return net::TlsVersion::kTls13;
  return std::nullopt;
}

net::TlsSettings settings_of(const Config& config, const TlsConfig& tls) {
  return {.cert_file = tls.cert_file,
          .key_file = tls.key_file,
          .client_cert_file = tls.client_cert_file,
          .client_key_file = tls.client_key_file,
          .trusted_ca_file = tls.trusted_ca_file,
          .client_cert_auth = tls.client_cert_auth,
          .crl_file = tls.crl_file,
          .allowed_cns = tls.allowed_cns,
          .allowed_hostnames = tls.allowed_hostnames,
          .min_version = version_of(config.tls_min_version).value_or(net::TlsVersion::kTls12),
          .max_version = version_of(config.tls_max_version),
          .cipher_suites = config.cipher_suites,
          .server_name = tls.server_name};
}

std::vector<std::string> hosts_of(std::initializer_list<const std::vector<Url>*> lists) {
  std::vector<std::string> hosts;
  for (const std::vector<Url>* urls : lists) {
    for (const Url& url : *urls) {
      if (!url.is_unix()) hosts.push_back(url.host);
    }
  }
  return hosts;
}

// A certificate made here, unless others are given.
absl::Status make_own(const Config& config, const TlsConfig& tls, std::string_view whose,
                      const std::vector<std::string>& hosts, net::TlsSettings* settings) {
  if (!tls.auto_tls) return absl::OkStatus();
  if (net::names_certificate(*settings)) {
    log::warn(cat("ignoring ", whose, " auto TLS since certs given"));
    return absl::OkStatus();
  }
  absl::StatusOr<net::SelfSigned> made =
      net::self_signed(cat(config.effective_data_dir(), "/fixtures/", whose), hosts,
                       config.self_signed_cert_validity_years);
  if (!made.ok()) {
    return absl::Status(
        made.status().code(),
        cat("failed to get ", whose, " self-signed certs: ", message_of(made.status())));
  }
  settings->cert_file = settings->client_cert_file = made->cert_file;
  settings->key_file = settings->client_key_file = made->key_file;
  settings->insecure_skip_verify = true;  // nobody vouches for the others' either
  return absl::OkStatus();
}

std::string tls_info(const net::TlsSettings& s) {
  return cat("cert = ", s.cert_file, ", key = ", s.key_file, ", client-cert=", s.client_cert_file,
             ", client-key=", s.client_key_file, ", trusted-ca = ", s.trusted_ca_file,
             ", client-cert-auth = ", s.client_cert_auth ? "true" : "false",
             ", crl-file = ", s.crl_file);
}

absl::StatusOr<std::shared_ptr<net::TlsContext>> open_context(const Config& config,
                                                              const net::TlsSettings& settings,
                                                              std::string_view whose) {
  absl::StatusOr<std::shared_ptr<net::TlsContext>> context = net::TlsContext::create(settings);
  if (!context.ok()) return context.status();
  log::info(cat("starting with ", whose, " TLS"),
            {{"tls-info", tls_info(settings)},
             {"cipher-suites", absl::StrJoin(config.cipher_suites, ",")}});
  return context;
}

// The same port may be named with and without TLS, and a port beside it without: said, as by etcd.
void warn_of_plaintext(const Config& config) {
  for (const auto* urls : {&config.listen_client_urls, &config.listen_client_http_urls}) {
    for (const Url& url : *urls) {
      if (url.is_tls()) continue;
      log::warn(
          "scheme is http or unix while key and cert files are present; ignoring key and cert "
          "files",
          {{"client-url", url.str()}});
      if (!config.client_tls.client_cert_auth) continue;
      log::warn(
          "scheme is http or unix while --client-cert-auth is enabled; ignoring client cert auth "
          "for this URL",
          {{"client-url", url.str()}});
    }
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<net::TlsContext>> prepare_client_tls(const Config& config) {
  if (absl::Status s = net::check_cipher_names(config.cipher_suites); !s.ok()) return s;
  if (!serves_clients_over_tls(config)) {
    const bool peers = std::any_of(config.listen_peer_urls.begin(), config.listen_peer_urls.end(),
                                   [](const Url& url) { return url.is_tls(); });
    if (!peers && !config.cipher_suites.empty()) {
      log::warn("ignoring cipher suites since nothing is served over TLS");
    }
    return nullptr;
  }
  net::TlsSettings settings = settings_of(config, config.client_tls);
  const std::vector<std::string> hosts =
      hosts_of({&config.listen_client_urls, &config.listen_client_http_urls});
  if (absl::Status s = make_own(config, config.client_tls, "client", hosts, &settings); !s.ok()) {
    return s;
  }
  warn_of_plaintext(config);
  return open_context(config, settings, "client");
}

absl::StatusOr<PeerTls> prepare_peer_tls(const Config& config) {
  net::TlsSettings settings = settings_of(config, config.peer_tls);
  const std::vector<std::string> hosts = hosts_of({&config.listen_peer_urls});
  if (absl::Status s = make_own(config, config.peer_tls, "peer", hosts, &settings); !s.ok()) {
    return s;
  }
  PeerTls tls;
  if (net::names_certificate(settings)) {
    absl::StatusOr<std::shared_ptr<net::TlsContext>> listeners =
        open_context(config, settings, "peer");
    if (!listeners.ok()) return listeners.status();
    tls.listeners = *std::move(listeners);
  }
  // Without files of its own it believes what the system does.
  absl::StatusOr<std::shared_ptr<net::TlsClientContext>> client =
      net::TlsClientContext::create(settings);
  if (!client.ok()) return client.status();
  tls.client = *std::move(client);
  return tls;
}

}  // namespace keelson::server
