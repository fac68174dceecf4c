// Flags of etcd's groups "Security" and "Auth".

#include "server/flag_table.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using enum FlagEffect;

// In a config file TLS stands in sections of its own, so these rows are not keys there.
template <typename Accessor>
FlagSpec tls(std::string_view name, Accessor accessor, std::string_view help) {
  return in_file(flag(name, FlagGroup::kSecurity, kYes, accessor, help), FileKind::kAbsent);
}

template <typename Accessor>
FlagSpec security(std::string_view name, FlagEffect effect, Accessor accessor,
                  std::string_view help) {
  return flag(name, FlagGroup::kSecurity, effect, accessor, help);
}

template <typename Accessor>
FlagSpec auth(std::string_view name, Accessor accessor, std::string_view help) {
  return flag(name, FlagGroup::kAuth, kYes, accessor, help);
}

absl::Status set_cors(Config& config, std::string_view text) {
  if (text == "*") {
    config.cors = {"*"};
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<Url>> urls = parse_urls(text);
  if (!urls.ok()) return urls.status();
  config.cors.clear();
  for (const Url& url : *urls) config.cors.push_back(url.str());
  return absl::OkStatus();
}

std::vector<FlagSpec> rows_of_clients() {
  return {
      tls("cert-file", KEELSON_FIELD(client_tls.cert_file), "Certificate shown to clients."),
      tls("key-file", KEELSON_FIELD(client_tls.key_file), "Its key."),
      tls("client-cert-file", KEELSON_FIELD(client_tls.client_cert_file),
          "Certificate that etcd's gateway shows to etcd; checked, and needed for nothing more."),
      tls("client-key-file", KEELSON_FIELD(client_tls.client_key_file), "Its key."),
      tls("client-cert-auth", KEELSON_FIELD(client_tls.client_cert_auth),
          "Ask clients for certificates."),
      tls("client-crl-file", KEELSON_FIELD(client_tls.crl_file), "Revoked client certificates."),
      tls("client-cert-allowed-hostname", KEELSON_FIELD(client_tls.allowed_hostnames),
          "Names that client certificates may carry."),
      tls("trusted-ca-file", KEELSON_FIELD(client_tls.trusted_ca_file),
          "Authority of client certificates."),
      tls("auto-tls", KEELSON_FIELD(client_tls.auto_tls), "TLS with a certificate made at start."),
      with_setter(security("cors", kYes, KEELSON_FIELD(cors),
                           "Origins that browsers may come from (*: all)."),
                  set_cors),
      with_setter(security("host-whitelist", kYes, KEELSON_FIELD(host_whitelist),
                           "Host names that HTTP requests may ask for (*: all)."),
                  [](Config& c, std::string_view text) {
                    c.host_whitelist = unique_comma_parts(text);
                    return absl::OkStatus();
                  }),
  };
}

std::vector<FlagSpec> rows_of_peers() {
  return {
      tls("peer-cert-file", KEELSON_FIELD(peer_tls.cert_file), "Certificate shown to members."),
      tls("peer-key-file", KEELSON_FIELD(peer_tls.key_file), "Its key."),
      tls("peer-client-cert-file", KEELSON_FIELD(peer_tls.client_cert_file),
          "Certificate used towards members, if not --peer-cert-file."),
      tls("peer-client-key-file", KEELSON_FIELD(peer_tls.client_key_file), "Its key."),
      tls("peer-client-cert-auth", KEELSON_FIELD(peer_tls.client_cert_auth),
          "Ask members for certificates."),
      tls("peer-crl-file", KEELSON_FIELD(peer_tls.crl_file), "Revoked member certificates."),
      tls("peer-trusted-ca-file", KEELSON_FIELD(peer_tls.trusted_ca_file),
          "Authority of member certificates."),
      tls("peer-cert-allowed-cn", KEELSON_FIELD(peer_tls.allowed_cns),
          "Common names that member certificates may carry."),
      tls("peer-cert-allowed-hostname", KEELSON_FIELD(peer_tls.allowed_hostnames),
          "Names that member certificates may carry."),
      tls("peer-auto-tls", KEELSON_FIELD(peer_tls.auto_tls),
          "TLS between members with certificates made at start."),
      in_file(flag("peer-skip-client-san-verification", FlagGroup::kFeatures, kYes,
                   KEELSON_FIELD(peer_tls.skip_client_san_verification),
                   "Do not compare member certificates with addresses."),
              FileKind::kAbsent),
      security("self-signed-cert-validity", kYes, KEELSON_FIELD(self_signed_cert_validity_years),
               "Years that certificates made at start are valid."),
      in_file(security("cipher-suites", kYes, KEELSON_FIELD(cipher_suites),
                       "TLS cipher suites, comma-separated."),
              FileKind::kList),
      security("tls-min-version", kYes, KEELSON_FIELD(tls_min_version), "TLS1.2 or TLS1.3."),
      security("tls-max-version", kYes, KEELSON_FIELD(tls_max_version),
               "TLS1.2, TLS1.3, or empty for the newest."),
  };
}

std::vector<FlagSpec> rows_of_auth() {
  return {
      auth("auth-token", KEELSON_FIELD(auth_token), "'simple', or 'jwt' with its options."),
      auth("auth-token-ttl", KEELSON_FIELD(auth_token_ttl_seconds),
           "Seconds that a simple token lives."),
      auth("bcrypt-cost", KEELSON_FIELD(bcrypt_cost), "Cost of hashing passwords."),
  };
}

}  // namespace

std::span<const FlagSpec> security_flags() {
  static const std::vector<FlagSpec> rows = [] {
    std::vector<FlagSpec> all = rows_of_clients();
    for (const auto& more : {rows_of_peers(), rows_of_auth()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return rows;
}

}  // namespace keelson::server
