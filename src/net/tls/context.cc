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

namespace keelson::net {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;

// Go's, but for the hybrid with ML-KEM, which this OpenSSL does not have.
constexpr char kCurves[] = "X25519:P-256:P-384:P-521";
// How long a ticket is good for (Go: a week).
constexpr long kTicketSeconds = 24 * 3600;  // NOLINT: OpenSSL's type
// A file changed this recently may change again without its times telling.
constexpr int64_t kSettledNanoseconds = 1'000'000'000;

absl::Status refuse(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

int version_number(TlsVersion version) {
  return version == TlsVersion::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

// Go's %q of a list.
std::string quoted_list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += (text.size() > 1 ? " " : "") + quoted(item);
  return text + "]";
}

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

absl::Status library_error(std::string_view what) {
  return absl::InternalError(cat("OpenSSL: ", what, ": ", openssl_error()));
}

}  // namespace

bool names_certificate(const TlsSettings& settings) {
  return !settings.cert_file.empty() || !settings.key_file.empty();
}

absl::Status check_tls_settings(const TlsSettings& s) {
  if (s.cert_file.empty() || s.key_file.empty()) {
    return refuse(cat("KeyFile and CertFile must both be present[key: ", s.key_file,
                      ", cert: ", s.cert_file, "]"));
  }
  if (s.client_cert_file.empty() != s.client_key_file.empty()) {
    return refuse(cat("ClientKeyFile and ClientCertFile must both be present or both absent: key: ",
                      s.client_key_file, ", cert: ", s.client_cert_file, "]"));
  }
  if (!s.allowed_cns.empty() && !s.allowed_hostnames.empty()) {
    return refuse(cat(
        "AllowedCNs and AllowedHostnames are mutually exclusive (cns=", quoted_list(s.allowed_cns),
        ", hostnames=", quoted_list(s.allowed_hostnames), ")"));
  }
  return cipher_list(s.cipher_suites).status();
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
  absl::StatusOr<std::string> ciphers = cipher_list(settings.cipher_suites);
  if (!ciphers.ok()) return ciphers.status();
  ctx_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* ctx = ctx_.get();
  if (ctx == nullptr) return library_error("no context");
  revoked_serials_ = std::move(material.revoked_serials);
  allowed_cns_ = settings.allowed_cns;
  allowed_hostnames_ = settings.allowed_hostnames;

  // All of it said here: what openssl.cnf of this machine has as defaults does not count.
  SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx));
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                               SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // RSA of 1024 bits and more, no SHA-1, no MD5: what Go takes.
  SSL_CTX_set_security_level(ctx, 1);
  SSL_CTX_set_min_proto_version(ctx, version_number(settings.min_version));
  SSL_CTX_set_max_proto_version(ctx,
                                version_number(settings.max_version.value_or(TlsVersion::kTls13)));
  if (SSL_CTX_set_cipher_list(ctx, ciphers->c_str()) != 1) return library_error("cipher suites");
  if (SSL_CTX_set1_groups_list(ctx, kCurves) != 1) return library_error("curves");
  SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, nullptr);

  if (SSL_CTX_use_certificate(ctx, material.chain[0].get()) != 1 ||
      SSL_CTX_use_PrivateKey(ctx, material.key.get()) != 1) {
    return refuse(cat(settings.cert_file, ": ", openssl_error()));
  }
  for (size_t i = 1; i < material.chain.size(); ++i) {
    SSL_CTX_add1_chain_cert(ctx, material.chain[i].get());
  }

  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 1);
  SSL_CTX_set_timeout(ctx, kTicketSeconds);
  SSL_CTX_set_session_ticket_cb(ctx, make_ticket, open_ticket, this);
  unsigned char id[SSL_MAX_SID_CTX_LENGTH];
  if (RAND_bytes(id, sizeof(id)) != 1) return library_error("no randomness");
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
  StorePtr store(X509_STORE_new());
  if (!store) return library_error("no store");
  // As in Go, whatever stands in the bundle is trusted, be it a root or not.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  for (const X509Ptr& authority : material.authorities) {
    if (X509_STORE_add_cert(store.get(), authority.get()) != 1) {
      sk_X509_NAME_pop_free(names, X509_NAME_free);
      return library_error("authority");
    }
    sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(authority.get())));
  }
  if (material.authorities.empty()) X509_STORE_set_default_paths(store.get());
  SSL_CTX_set_client_CA_list(ctx, names);
  SSL_CTX_set_cert_store(ctx, store.release());
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
  const bool named =
      (allowed_cns_.empty() && allowed_hostnames_.empty()) ||
      std::any_of(allowed_hostnames_.begin(), allowed_hostnames_.end(),
                  [&](const std::string& host) { return names_host(leaf, host); }) ||
      (!allowed_cns_.empty() && std::find(allowed_cns_.begin(), allowed_cns_.end(),
                                          identity_of(leaf).common_name) != allowed_cns_.end());
  if (!named) {
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

// ---- TlsContext

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::create(TlsSettings settings) {
  if (absl::Status s = check_tls_settings(settings); !s.ok()) return s;
  std::shared_ptr<TlsContext> context(new TlsContext(std::move(settings)));
  std::string fingerprint = context->fingerprint();
  absl::StatusOr<TlsFiles> files = read_tls_files(context->settings_);
  if (!files.ok()) return files.status();
  absl::StatusOr<std::shared_ptr<const TlsState>> state =
      TlsState::build(context->settings_, *files);
  if (!state.ok()) return state.status();
  context->fingerprint_ = std::move(fingerprint);
  context->files_ = *std::move(files);
  context->state_ = *std::move(state);
  return context;
}

// Where the files are and when they changed; empty when that cannot be relied upon.
std::string TlsContext::fingerprint() const {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::string text;
  for (const std::string* path :
       {&settings_.cert_file, &settings_.key_file, &settings_.client_cert_file,
        &settings_.client_key_file, &settings_.trusted_ca_file, &settings_.crl_file}) {
    if (path->empty()) continue;
    struct stat s {};
    if (stat(path->c_str(), &s) != 0) {
      text += "absent;";
      continue;
    }
    const int64_t age =
        (now.tv_sec - s.st_mtim.tv_sec) * 1'000'000'000 + now.tv_nsec - s.st_mtim.tv_nsec;
    if (age < kSettledNanoseconds) return "";
    text += cat(s.st_dev, ":", s.st_ino, ":", s.st_size, ":", s.st_mtim.tv_sec, ".",
                s.st_mtim.tv_nsec, ";");
  }
  return text;
}

std::shared_ptr<const TlsState> TlsContext::current() {
  std::lock_guard lock(mutex_);
  std::string fingerprint = this->fingerprint();
  if (!fingerprint.empty() && fingerprint == fingerprint_) return state_;
  fingerprint_ = std::move(fingerprint);
  absl::StatusOr<TlsFiles> files = read_tls_files(settings_);
  if (files.ok() && *files == files_) return state_;
  absl::StatusOr<std::shared_ptr<const TlsState>> state =
      files.ok() ? TlsState::build(settings_, *files) : files.status();
  if (state.ok()) {
    files_ = *std::move(files);
    state_ = *std::move(state);
    complaint_.clear();
    log::info("TLS files have changed and are in force",
              {{"cert-file", settings_.cert_file}, {"trusted-ca-file", settings_.trusted_ca_file}});
  } else if (std::string why(message_of(state.status())); why != complaint_) {
    log::warn(
        "changed TLS files cannot be used; those from before stay in force",
        {{"cert-file", settings_.cert_file}, {"key-file", settings_.key_file}, {"error", why}});
    complaint_ = std::move(why);
  }
  return state_;
}

}  // namespace keelson::net
