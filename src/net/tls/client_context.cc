#include "net/tls/client_context.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/text.h"
#include "net/tls/certificate.h"

namespace keelson::net {
namespace {

bool is_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

std::string names_of(X509* leaf, bool addresses) {
  const TlsIdentity identity = identity_of(leaf);
  std::string text;
  for (const std::string& name : addresses ? identity.ip_addresses : identity.dns_names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

// In Go's words, where Go has some for it.
std::string why_not(X509_STORE_CTX* chain) {
  X509_VERIFY_PARAM* wanted = X509_STORE_CTX_get0_param(chain);
  X509* leaf = X509_STORE_CTX_get0_cert(chain);
  const int error = X509_STORE_CTX_get_error(chain);
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH: {
      const char* host = X509_VERIFY_PARAM_get0_host(wanted, 0);
      return cat("certificate is valid for ", names_of(leaf, false), ", not ", host ? host : "");
    }
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      char* address = X509_VERIFY_PARAM_get1_ip_asc(wanted);
      const std::string host = address ? address : "";
      OPENSSL_free(address);
      const std::string names = names_of(leaf, true);
      if (names.empty()) {
        return cat("cannot validate certificate for ", host,
                   " because it doesn't contain any IP SANs");
      }
      return cat("certificate is valid for ", names, ", not ", host);
    }
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "certificate signed by unknown authority";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "certificate has expired or is not yet valid";
    default:
      return X509_verify_cert_error_string(error);
  }
}

}  // namespace

absl::Status TlsClientState::check(const TlsSettings& s) {
  if (s.cert_file.empty() != s.key_file.empty()) {
    return absl::InvalidArgumentError(cat("KeyFile and CertFile must both be present[key: ",
                                          s.key_file, ", cert: ", s.cert_file, "]"));
  }
  return check_common_rules(s);
}

absl::StatusOr<std::shared_ptr<const TlsClientState>> TlsClientState::build(
    const TlsSettings& settings, const TlsFiles& files) {
  absl::StatusOr<TlsMaterial> material = parse_tls_files(settings, files);
  if (!material.ok()) return material.status();
  std::shared_ptr<TlsClientState> state(new TlsClientState);
  state->ctx_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* ctx = state->ctx_.get();
  if (ctx == nullptr) return openssl_failure("no context");
  if (absl::Status s = set_up_basics(ctx, settings); !s.ok()) return s;
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  const bool own = material->client_chain.empty();
  if (absl::Status s = use_certificate(ctx, own ? material->chain : material->client_chain,
                                       own ? material->key.get() : material->client_key.get(),
                                       own ? settings.cert_file : settings.client_cert_file);
      !s.ok()) {
    return s;
  }
  state->server_name_ = settings.server_name;
  state->allowed_cns_ = settings.allowed_cns;
  state->allowed_hostnames_ = settings.allowed_hostnames;
  state->revoked_serials_ = std::move(material->revoked_serials);
  if (settings.insecure_skip_verify) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
    return state;
  }
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, verify, state.get());
  absl::StatusOr<StorePtr> store = make_store(material->authorities);
  if (!store.ok()) return store.status();
  SSL_CTX_set_cert_store(ctx, store->release());
  return state;
}

SSL* TlsClientState::make_session(const std::string& place, std::string* why) const {
  const std::string& host = server_name_.empty() ? place : server_name_;
  SSL* ssl = SSL_new(ctx_.get());
  CHECK(ssl != nullptr);
  SSL_set_app_data(ssl, why);
  X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl);
  if (is_address(host)) {
    CHECK(X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1);
  } else {
    X509_VERIFY_PARAM_set_hostflags(
        wanted, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    CHECK(X509_VERIFY_PARAM_set1_host(wanted, host.data(), host.size()) == 1);
    // Names only: a server name indication has no addresses (RFC 6066).
    SSL_set_tlsext_host_name(ssl, host.c_str());
  }
  SSL_set_connect_state(ssl);
  return ssl;
}

int TlsClientState::verify(X509_STORE_CTX* chain, void* state) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* why = static_cast<std::string*>(SSL_get_app_data(ssl));
  if (X509_verify_cert(chain) != 1) {
    *why = cat("tls: failed to verify certificate: x509: ", why_not(chain));
    return 0;
  }
  return static_cast<const TlsClientState*>(state)->accepts(chain, why) ? 1 : 0;
}

bool TlsClientState::accepts(X509_STORE_CTX* chain, std::string* why) const {
  X509* leaf = X509_STORE_CTX_get0_cert(chain);
  if (!is_allowed(leaf, allowed_cns_, allowed_hostnames_)) {
    *why = "client certificate authentication failed";  // etcd's words, whoever is looked at
    X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
    return false;
  }
  if (revoked_serials_.contains(serial_bytes(leaf))) {
    *why = cat("transport: certificate serial ", identity_of(leaf).serial, " revoked");
    X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REVOKED);
    return false;
  }
  return true;
}

}  // namespace keelson::net
