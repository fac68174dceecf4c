#include "net/tls/context.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/tls/certificate.h"
#include "net/tls/hello_again.h"

namespace keelson::net {
namespace {

// How long a ticket is good for (Go: a week).
constexpr long kTicketSeconds = 24 * 3600;  // NOLINT: OpenSSL's type
// As Go's server: the first of ours that the client has; a client with others only is told so.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr std::string_view kOurs[] = {"h2", "http/1.1"};
  for (std::string_view ours : kOurs) {
    for (unsigned at = 0; at < offered_size; at += offered[at] + 1u) {
      const unsigned size = offered[at];
      if (at + 1 + size > offered_size) return SSL_TLSEXT_ERR_ALERT_FATAL;
      if (std::string_view(reinterpret_cast<const char*>(offered + at + 1), size) != ours) continue;
      *out = offered + at + 1;
      *out_size = static_cast<unsigned char>(size);
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool expired(const X509* certificate) {
  return X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0;
}

}  // namespace

bool names_certificate(const TlsSettings& settings) {
  return !settings.cert_file.empty() || !settings.key_file.empty();
}

absl::Status TlsState::check(const TlsSettings& s) {
  if (s.cert_file.empty() || s.key_file.empty()) {
    return absl::InvalidArgumentError(cat("KeyFile and CertFile must both be present[key: ",
                                          s.key_file, ", cert: ", s.cert_file, "]"));
  }
  return check_common_rules(s);
}

// ---- TlsState

absl::StatusOr<std::shared_ptr<const TlsState>> TlsState::build(const TlsSettings& settings,
                                                                const TlsFiles& files) {
  absl::StatusOr<TlsMaterial> material = parse_tls_files(settings, files);
  if (!material.ok()) return material.status();
  std::shared_ptr<TlsState> state(new TlsState);
  if (absl::Status s = state->configure(settings, *std::move(material)); !s.ok()) return s;
  return state;
}

absl::Status TlsState::configure(const TlsSettings& settings, TlsMaterial material) {
  ctx_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* ctx = ctx_.get();
  if (ctx == nullptr) return openssl_failure("no context");
  revoked_serials_ = std::move(material.revoked_serials);
  allowed_cns_ = settings.allowed_cns;
  allowed_hostnames_ = settings.allowed_hostnames;

  if (absl::Status s = set_up_basics(ctx, settings); !s.ok()) return s;
  SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                               SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
  SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, nullptr);
  if (absl::Status s = allow_hello_again(ctx); !s.ok()) return s;

  absl::Status used = use_certificate(ctx, material.chain, material.key.get(), settings.cert_file);
  if (!used.ok()) return used;

  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 1);
  SSL_CTX_set_timeout(ctx, kTicketSeconds);
  SSL_CTX_set_session_ticket_cb(ctx, make_ticket, open_ticket, this);
  unsigned char id[SSL_MAX_SID_CTX_LENGTH];
  if (RAND_bytes(id, sizeof(id)) != 1) return openssl_failure("no randomness");
  SSL_CTX_set_session_id_context(ctx, id, sizeof(id));
  return set_authorities(settings, material);
}

absl::Status TlsState::set_authorities(const TlsSettings& settings, const TlsMaterial& material) {
  SSL_CTX* ctx = ctx_.get();
  if (!settings.asks_for_certificates()) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
    return absl::OkStatus();
  }
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, verify, this);
  absl::StatusOr<StorePtr> store = make_store(material.authorities);
  if (!store.ok()) return store.status();
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  for (const X509Ptr& authority : material.authorities) {
    sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(authority.get())));
  }
  SSL_CTX_set_client_CA_list(ctx, names);
  SSL_CTX_set_cert_store(ctx, store->release());
  return absl::OkStatus();
}

SSL* TlsState::make_session(std::string* why) const {
  SSL* ssl = SSL_new(ctx_.get());
  CHECK(ssl != nullptr);
  SSL_set_app_data(ssl, why);
  SSL_set_accept_state(ssl);
  return ssl;
}

// Within the handshake, so that a refused client hears an alert.
int TlsState::verify(X509_STORE_CTX* chain, void* state) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* why = static_cast<std::string*>(SSL_get_app_data(ssl));
  if (X509_verify_cert(chain) != 1) {
    *why = cat("tls: failed to verify certificate: x509: ",
               X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain)));
    return 0;
  }
  return static_cast<const TlsState*>(state)->accepts(chain, why) ? 1 : 0;
}

bool TlsState::accepts(X509_STORE_CTX* chain, std::string* why) const {
  X509* leaf = X509_STORE_CTX_get0_cert(chain);
  if (!is_allowed(leaf, allowed_cns_, allowed_hostnames_)) {
    *why = "client certificate authentication failed";
    X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
    return false;
  }
  // Everything that the client showed, whoever issued it: etcd's rule.
  STACK_OF(X509)* shown = X509_STORE_CTX_get0_untrusted(chain);
  for (int i = -1; i < sk_X509_num(shown); ++i) {
    X509* certificate = i < 0 ? leaf : sk_X509_value(shown, i);
    if (!revoked_serials_.contains(serial_bytes(certificate))) continue;
    *why = cat("transport: certificate serial ", identity_of(certificate).serial, " revoked");
    X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REVOKED);
    return false;
  }
  return true;
}

int TlsState::make_ticket(SSL* ssl, void*) {
  // The ticket keeps the client's own certificate only, so the date of the first in its chain to
  // expire goes along.
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  int64_t seconds_left = kTicketSeconds;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    int days = 0, seconds = 0;
    if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(sk_X509_value(chain, i))) != 1)
      return 0;
    seconds_left = std::min(seconds_left, int64_t{days} * 86400 + seconds);
  }
  const int64_t until = time(nullptr) + seconds_left;
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &until, sizeof(until));
}

SSL_TICKET_RETURN TlsState::open_ticket(SSL*, SSL_SESSION* session, const unsigned char*, size_t,
                                        SSL_TICKET_STATUS status, void*) {
  switch (status) {
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
      return SSL_TICKET_RETURN_IGNORE_RENEW;
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
      break;
    default:
      return SSL_TICKET_RETURN_ABORT;
  }
  void* data = nullptr;
  size_t size = 0;
  int64_t until = 0;
  if (SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 || size != sizeof(until)) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  std::memcpy(&until, data, sizeof(until));
  X509* leaf = SSL_SESSION_get0_peer(session);
  if (time(nullptr) >= until || (leaf && expired(leaf))) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

std::shared_ptr<const TlsIdentity> verified_identity(SSL* ssl) {
  if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) return nullptr;
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return nullptr;
  return std::make_shared<const TlsIdentity>(identity_of(certificate));
}

}  // namespace keelson::net
