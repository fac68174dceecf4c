// net/tls/client_context.h
//
// TlsClientContext is the side of TLS that connects, kept fresh (net/tls/fresh.h): which servers it
// believes and which certificate it shows them. The rules are etcd's for outgoing connections
// (v3.7.1, client/pkg/transport/listener.go, ClientConfig()): a server's certificate must be of the
// bundle or else of the system's roots, name the host that was asked for (or the one that is wanted
// of all servers), and, where common names or host names are listed, carry one of them. etcd never
// looks for an outgoing connection into a revocation list; with one we do.

#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/tls/fresh.h"
#include "net/tls/ssl_setup.h"

namespace keelson::net {

// What the files said when they were read. Immutable.
class TlsClientState {
 public:
  static absl::Status check(const TlsSettings& settings);
  static absl::StatusOr<std::shared_ptr<const TlsClientState>> build(const TlsSettings& settings,
                                                                     const TlsFiles& files);

  // A client's end of a new connection to `place`, a name or an address. `why` outlives it, and
  // gets the reason if the server is not believed.
  SSL* make_session(const std::string& place, std::string* why) const;

 private:
  TlsClientState() = default;
  static int verify(X509_STORE_CTX* chain, void* state);
  bool accepts(X509_STORE_CTX* chain, std::string* why) const;

  SslCtxPtr ctx_;
  std::string server_name_;  // empty: the host
  std::vector<std::string> allowed_cns_, allowed_hostnames_;
  std::set<std::string> revoked_serials_;
};

using TlsClientContext = FreshTls<TlsClientState>;

}  // namespace keelson::net
