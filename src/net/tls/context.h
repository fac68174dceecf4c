// net/tls/context.h
//
// TlsContext is one server's side of TLS, kept fresh: current() looks whether a file has changed
// and builds anew if so, certificate, authorities and revocations alike. A new file that cannot be
// used is said in the log once, and the old stays in force.
//
// Resumption: a session lives on in its ticket only, under keys of the one state that issued it, so
//   a changed file ends every session; and what is checked of a client's certificate (authority,
//   dates, revocation, names) was checked under the same state. Dates are checked again.
// Threads: any; current() takes a lock and may wait for the disk, so it is not for the loops.
// Lifetime: a state lives as long as a connection uses it.

#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "net/tls/identity.h"
#include "net/tls/material.h"
#include "net/tls/settings.h"

namespace keelson::net {

// What the files said when they were read. Immutable.
class TlsState {
 public:
  static absl::StatusOr<std::shared_ptr<const TlsState>> build(const TlsSettings& settings,
                                                               const TlsFiles& files);

  // A server's end of a new connection. `why` outlives it, and gets the reason if a check of ours
  // refuses the client.
  SSL* make_session(std::string* why) const;

 private:
  struct Free {
    void operator()(SSL_CTX* ctx) const { SSL_CTX_free(ctx); }
  };

  TlsState() = default;
  absl::Status configure(const TlsSettings& settings, TlsMaterial material);
  absl::Status set_authorities(const TlsSettings& settings, const TlsMaterial& material);
  bool accepts(X509_STORE_CTX* chain, std::string* why) const;
  static int verify(X509_STORE_CTX* chain, void* state);
  static int make_ticket(SSL* ssl, void* state);
  static SSL_TICKET_RETURN open_ticket(SSL* ssl, SSL_SESSION* session, const unsigned char* name,
                                       size_t name_size, SSL_TICKET_STATUS status, void* state);

  std::unique_ptr<SSL_CTX, Free> ctx_;
  std::set<std::string> revoked_serials_;
  std::vector<std::string> allowed_cns_, allowed_hostnames_;
};

class TlsContext {
 public:
  // Reads the files. Errors: a rule of etcd's that the settings break, or a file that cannot be
  // used.
  static absl::StatusOr<std::shared_ptr<TlsContext>> create(TlsSettings settings);

  std::shared_ptr<const TlsState> current();

 private:
  explicit TlsContext(TlsSettings settings) : settings_(std::move(settings)) {}
  std::string fingerprint() const;

  const TlsSettings settings_;
  std::mutex mutex_;
  std::string fingerprint_;  // of the files when they were last read; empty: read again
  TlsFiles files_;           // what was read then
  std::string complaint_;    // the last one that was logged
  std::shared_ptr<const TlsState> state_;  // never null once created
};

// The rules for settings alone (etcd's baseConfig(), with its texts).
absl::Status check_tls_settings(const TlsSettings& settings);

// Whether anything in `settings` asks for TLS.
bool names_certificate(const TlsSettings& settings);

// Opened against its peer: the handshake is complete. Null without a client certificate.
std::shared_ptr<const TlsIdentity> verified_identity(SSL* ssl);

}  // namespace keelson::net
