// server/tls.h
//
// From the flags to what net/ needs: reads the certificates, makes those of --auto-tls and
// --peer-auto-tls, and refuses what cannot be used before anything is served.
//
// Threads: the main thread, at start.

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "net/tls/client_context.h"
#include "net/tls/transport.h"
#include "server/config.h"

namespace keelson::server {

// For the listeners of clients and metrics; null if none of them is under TLS. REQUIRES: the data
// directory is there.
absl::StatusOr<std::shared_ptr<net::TlsContext>> prepare_client_tls(const Config& config);

// The same for peers: what their listeners show, and what this member shows and believes when it
// connects to others. Each is null if there is nothing to show or to believe.
struct PeerTls {
  std::shared_ptr<net::TlsContext> listeners;
  std::shared_ptr<net::TlsClientContext> client;
};
absl::StatusOr<PeerTls> prepare_peer_tls(const Config& config);

}  // namespace keelson::server
