// net/tls/context.h
//
// TlsContext is one server's side of TLS, kept fresh (net/tls/fresh.h).
//
// Resumption: a session lives on in its ticket only, under keys of the one state that issued it, so
//   a changed file ends every session; and what is checked of a client's certificate (authority,
//   dates, revocation, names) was checked under the same state. Dates are checked again.

#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/tls/fresh.h"
#include "net/tls/identity.h"
#include "net/tls/ssl_setup.h"

namespace keelson::net {

// What the files said when they were read. Immutable.
class TlsState {
 public:
  // Which of etcd's rules (baseConfig(), with its texts) the settings alone break.
  static absl::Status check(const TlsSettings& settings);
  static absl::StatusOr<std::shared_ptr<const TlsState>> build(const TlsSettings& settings,
                                                               const TlsFiles& files);

  // A server's end of a new connection. `why` outlives it, and gets the reason if a check of ours
  // refuses the client.
  SSL* make_session(std::string* why) const;

 private:
  TlsState() = default;
  absl::Status configure(const TlsSettings& settings, TlsMaterial material);
  absl::Status set_authorities(const TlsSettings& settings, const TlsMaterial& material);
  bool accepts(X509_STORE_CTX* chain, std::string* why) const;
  static int verify(X509_STORE_CTX* chain, void* state);
  static int make_ticket(SSL* ssl, void* state);
  static SSL_TICKET_RETURN open_ticket(SSL* ssl, SSL_SESSION* session, const unsigned char* name,
                                       size_t name_size, SSL_TICKET_STATUS status, void* state);

  SslCtxPtr ctx_;
  std::set<std::string> revoked_serials_;
  std::vector<std::string> allowed_cns_, allowed_hostnames_;
};

using TlsContext = FreshTls<TlsState>;

// Whether anything in `settings` asks for TLS.
bool names_certificate(const TlsSettings& settings);

// Opened against its peer: the handshake is complete. Null without a client certificate.
std::shared_ptr<const TlsIdentity> verified_identity(SSL* ssl);

}  // namespace keelson::net
