#include "server/tls_rules.h"

#include <algorithm>

#include "base/text.h"

namespace keelson::server {
namespace {

absl::Status refuse(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

bool any_tls(const std::vector<Url>& urls) {
  return std::any_of(urls.begin(), urls.end(), [](const Url& url) { return url.is_tls(); });
}

// The flag of one group that is set; the first of them.
struct NamedFlag {
  std::string name;
  bool set;
};

std::vector<NamedFlag> client_certificate_flags(const TlsConfig& tls, const std::string& prefix,
                                                const std::string& crl) {
  return {{prefix + "client-cert-auth", tls.client_cert_auth},
          {prefix + "trusted-ca-file", !tls.trusted_ca_file.empty()},
          {crl, !tls.crl_file.empty()},
          {prefix.empty() ? "client-cert-allowed-cn" : "peer-cert-allowed-cn",
           !tls.allowed_cns.empty()},
          {prefix.empty() ? "client-cert-allowed-hostname" : "peer-cert-allowed-hostname",
           !tls.allowed_hostnames.empty()}};
}

// What stands in one of the two sets of flags, seen by itself and beside its URLs.
absl::Status check_set(const TlsConfig& tls, const std::string& prefix, const std::string& crl,
                       bool serves_tls) {
  const std::vector<NamedFlag> about_clients = client_certificate_flags(tls, prefix, crl);
  const bool has_certificate = !tls.cert_file.empty() || !tls.key_file.empty();
  std::vector<NamedFlag> all = {{prefix + "cert-file", !tls.cert_file.empty()},
                                {prefix + "key-file", !tls.key_file.empty()},
                                {prefix + "auto-tls", tls.auto_tls}};
  all.insert(all.end(), about_clients.begin(), about_clients.end());
  for (const NamedFlag& flag : all) {
    if (flag.set && !serves_tls) {
      return refuse(cat("--", flag.name,
                        " cannot take effect: no listen URL that it is for has the scheme https "
                        "or unixs"));
    }
  }
  const bool asks = tls.client_cert_auth || !tls.trusted_ca_file.empty();
  for (const NamedFlag& flag : about_clients) {
    if (!flag.set) continue;
    // etcd forgets these without a word.
    if (tls.auto_tls && !has_certificate) {
      return refuse(cat("--", flag.name, " cannot take effect with --", prefix,
                        "auto-tls: nobody is asked for a certificate then"));
    }
    if (!asks) {
      return refuse(cat("--", flag.name, " cannot take effect: without --", prefix,
                        "trusted-ca-file or --", prefix,
                        "client-cert-auth nobody is asked for a certificate"));
    }
  }
  return absl::OkStatus();
}

bool has_certificate(const TlsConfig& tls) {
  return tls.auto_tls || !tls.cert_file.empty() || !tls.key_file.empty();
}

absl::Status check_certificates_are_there(const Config& config) {
  if (!has_certificate(config.peer_tls)) {
    for (const Url& url : config.listen_peer_urls) {
      if (!url.is_tls()) continue;
      return refuse(cat("creating peer listener failed: cannot listen on TLS for ",
                        url.is_unix() ? url.socket_path() : url.host,
                        ": KeyFile and CertFile are not presented"));
    }
  }
  if (has_certificate(config.client_tls)) return absl::OkStatus();
  for (const auto* urls : {&config.listen_client_urls, &config.listen_client_http_urls}) {
    for (const Url& url : *urls) {
      if (!url.is_tls()) continue;
      return refuse(cat("TLS key/cert (--cert-file, --key-file) must be provided for client url ",
                        url.str(), " with HTTPS scheme"));
    }
  }
  if (any_tls(config.listen_metrics_urls)) {
    return refuse(
        "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url");
  }
  return absl::OkStatus();
}

// One socket serves one kind of traffic.
absl::Status check_split(const Config& config) {
  for (const Url& http : config.listen_client_http_urls) {
    for (const Url& url : config.listen_client_urls) {
      if (url.host == http.host && url.path == http.path && url.is_unix() == http.is_unix()) {
        return refuse(cat(
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url ",
            http.str()));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool serves_clients_over_tls(const Config& config) {
  return any_tls(config.listen_client_urls) || any_tls(config.listen_client_http_urls) ||
         any_tls(config.listen_metrics_urls);
}

absl::Status check_tls_flags(const Config& config) {
  if (absl::Status s = check_certificates_are_there(config); !s.ok()) return s;
  const bool clients = serves_clients_over_tls(config);
  const bool peers = any_tls(config.listen_peer_urls);
  if (absl::Status s = check_set(config.client_tls, "", "client-crl-file", clients); !s.ok()) {
    return s;
  }
  if (absl::Status s = check_set(config.peer_tls, "peer-", "peer-crl-file", peers); !s.ok()) {
    return s;
  }
  return check_split(config);
}

}  // namespace keelson::server
