#include "net/tls/ssl_setup.h"

#include <algorithm>

#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/tls/certificate.h"

namespace keelson::net {
namespace {

// Go's, but for the hybrid with ML-KEM, which this OpenSSL does not have.
constexpr char kCurves[] = "X25519:P-256:P-384:P-521";

int version_number(TlsVersion version) {
  return version == TlsVersion::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

// Go's %q of a list.
std::string quoted_list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += (text.size() > 1 ? " " : "") + quoted(item);
  return text + "]";
}

}  // namespace

absl::Status openssl_failure(std::string_view what) {
  return absl::InternalError(cat("OpenSSL: ", what, ": ", openssl_error()));
}

absl::Status set_up_basics(SSL_CTX* ctx, const TlsSettings& settings) {
  absl::StatusOr<std::string> ciphers = cipher_list(settings.cipher_suites);
  if (!ciphers.ok()) return ciphers.status();
  // All of it said here: what openssl.cnf of this machine has as defaults does not count.
  SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx));
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // RSA of 1024 bits and more, no SHA-1, no MD5: what Go takes.
  SSL_CTX_set_security_level(ctx, 1);
  SSL_CTX_set_min_proto_version(ctx, version_number(settings.min_version));
  SSL_CTX_set_max_proto_version(ctx,
                                version_number(settings.max_version.value_or(TlsVersion::kTls13)));
  if (SSL_CTX_set_cipher_list(ctx, ciphers->c_str()) != 1) return openssl_failure("cipher suites");
  if (SSL_CTX_set1_groups_list(ctx, kCurves) != 1) return openssl_failure("curves");
  return absl::OkStatus();
}

absl::Status use_certificate(SSL_CTX* ctx, const std::vector<X509Ptr>& chain, EVP_PKEY* key,
                             const std::string& name) {
  if (chain.empty()) return absl::OkStatus();
  if (SSL_CTX_use_certificate(ctx, chain[0].get()) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1) {
    return absl::InvalidArgumentError(cat(name, ": ", openssl_error()));
  }
  for (size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(ctx, chain[i].get());
  return absl::OkStatus();
}

absl::StatusOr<StorePtr> make_store(const std::vector<X509Ptr>& authorities) {
  StorePtr store(X509_STORE_new());
  if (!store) return openssl_failure("no store");
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  for (const X509Ptr& authority : authorities) {
    if (X509_STORE_add_cert(store.get(), authority.get()) != 1) return openssl_failure("authority");
  }
  if (authorities.empty()) X509_STORE_set_default_paths(store.get());
  return store;
}

absl::Status check_common_rules(const TlsSettings& s) {
  if (s.client_cert_file.empty() != s.client_key_file.empty()) {
    return absl::InvalidArgumentError(
        cat("ClientKeyFile and ClientCertFile must both be present or both absent: key: ",
            s.client_key_file, ", cert: ", s.client_cert_file, "]"));
  }
  if (!s.allowed_cns.empty() && !s.allowed_hostnames.empty()) {
    return absl::InvalidArgumentError(cat(
        "AllowedCNs and AllowedHostnames are mutually exclusive (cns=", quoted_list(s.allowed_cns),
        ", hostnames=", quoted_list(s.allowed_hostnames), ")"));
  }
  return cipher_list(s.cipher_suites).status();
}

bool is_allowed(X509* leaf, const std::vector<std::string>& cns,
                const std::vector<std::string>& hostnames) {
  if (cns.empty() && hostnames.empty()) return true;
  if (std::any_of(hostnames.begin(), hostnames.end(),
                  [&](const std::string& host) { return names_host(leaf, host); })) {
    return true;
  }
  return !cns.empty() &&
         std::find(cns.begin(), cns.end(), identity_of(leaf).common_name) != cns.end();
}

}  // namespace keelson::net
